/**
 * A copy of a vault that is written to meanwhile. Whatever a name in the copy leads to is in it,
 * with all parts of its rings. Something of what came too late may lie in it too, but no name leads
 * there: so it is in the vault itself when a writer dies before the name is written.
 */
import { chunks } from '../base/chunks.ts';
import {
  type CopiedEnd,
  type CopiedVault,
  copySegments,
  copyVault,
  RING_KINDS,
  ROWS_PER_COPY,
} from './vault-copy.ts';
import { type RowKey, rowKinds, rowStates, type VaultRow } from './vault-store.ts';

/** Copies beside the writers of `from`; nobody else writes to `to`. No turn may be under way. */
export async function copyLiveVault(from: CopiedEnd, to: CopiedEnd): Promise<CopiedVault> {
  const copied = await copyVault(from.copy, to.copy);
  await settleRings(from, to);
  await settleEntries(from, to);
  return copied;
}

/**
 * A ring that changed twice may name a part that came after one look at the parts and went before
 * the next. One that is as it was copied had all its parts when they were copied after it.
 */
async function settleRings(from: CopiedEnd, to: CopiedEnd): Promise<void> {
  let changed = await reloadChanged(from.copy.rows(RING_KINDS), to);
  while (changed.length > 0) {
    await copySegments(from.copy, to.copy);
    changed = await reloadChanged(readAll(from, changed), to);
  }
}

/** Copies rows again that are newer than their copies; which. */
async function reloadChanged(rows: AsyncIterable<VaultRow>, to: CopiedEnd): Promise<VaultRow[]> {
  const changed: VaultRow[] = [];
  for await (const part of chunks(rows, ROWS_PER_COPY)) {
    const copies = await to.store.versions(part);
    const newer = part.filter((row, i) => row.version > (copies[i]?.version ?? row.version));
    await to.copy.loadRows(newer);
    changed.push(...newer);
  }
  return changed;
}

async function* readAll({ store }: CopiedEnd, keys: readonly RowKey[]): AsyncIterable<VaultRow> {
  yield* (await store.read(keys)).filter((row) => row !== undefined);
}

/**
 * The ring of a person or group is written and removed together with its entry, but they were
 * copied one after the other. Where the vault has a ring without an entry, its copy has it too.
 */
async function settleEntries(from: CopiedEnd, to: CopiedEnd): Promise<void> {
  for await (const part of chunks(to.copy.rows([rowKinds.ownerRing]), ROWS_PER_COPY)) {
    const owners = part.filter((row) => row.state !== rowStates.erased && row.id !== row.app);
    const copies = await to.store.versions(owners.flatMap(entriesOf));
    const isAlone = (i: number) => !copies[2 * i] && !copies[2 * i + 1];
    const alone = owners.filter((_, i) => isAlone(i));
    const rows = await from.store.read(alone.flatMap((ring) => [ring, ...entriesOf(ring)]));
    await to.copy.loadRows(rows.filter((row) => row !== undefined));
    await to.copy.dropRows(alone.filter((_, i) => rows[3 * i] === undefined));
  }
}

/** Where the entry of a person or of a group lies. */
function entriesOf({ app, bucket, id }: RowKey): RowKey[] {
  return [rowKinds.subject, rowKinds.conversation].map((kind) => ({ app, bucket, kind, id }));
}
