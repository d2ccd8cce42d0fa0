/** A vault and its copy, compared row by row. */
import { chunks } from '../../base/chunks.ts';
import { rowKinds, type VaultRow, type VaultStore } from '../rows/vault-store.ts';
import type { VaultCopy } from './vault-copy.ts';

const ROWS_PER_LOOK = 500;

/** What an earlier run copied, and the original has lost since, goes from the copy too. */
export async function dropAbsent(from: VaultStore, to: VaultCopy): Promise<void> {
  for await (const rows of chunks(to.rows(), ROWS_PER_LOOK)) {
    const versions = await from.versions(rows);
    await to.dropRows(rows.filter((_, i) => versions[i] === undefined));
  }
}

/** Rows that are missing or other in the copy; the root's is wrapped by another KMS. */
export async function countDiffering(
  from: VaultCopy,
  to: VaultStore,
  isLeftOut: (row: VaultRow) => boolean = () => false,
): Promise<number> {
  let differing = 0;
  for await (const rows of chunks(from.rows(), ROWS_PER_LOOK)) {
    const copies = await to.read(rows);
    const others = rows.filter((row, i) => !isCopyOf(row, copies[i]));
    differing += others.filter((row) => !isLeftOut(row)).length;
  }
  return differing;
}

function isCopyOf(row: VaultRow, copy: VaultRow | undefined): boolean {
  if (copy?.version !== row.version || copy.ownKey !== row.ownKey) return false;
  return row.kind === rowKinds.storeRoot || copy.wrapped.equals(row.wrapped);
}
