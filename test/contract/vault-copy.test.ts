import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { copyLiveVault } from '../../libs/vault/copy-live-vault.ts';
import type { CopiedEnd } from '../../libs/vault/vault-copy.ts';
import { type RowKind, rowKinds, rowStates, type VaultRow } from '../../libs/vault/vault-store.ts';
import { temporaryFolder } from '../support/temporary-store.ts';
import { adapters } from './adapters.ts';

const APP = 'a0'.repeat(16) as never;
const BUCKETS = 4;
const PEOPLE = 8;
const MOMENTS = 70;
// On a server a step takes as long as hundreds of them here.
const EXAMPLES = process.env.TEST_ENGINES === undefined ? 100 : 12;

/** In these vaults an id's last digit is its bucket; wrapped bytes are the id that they name. */
const idOf = (n: number) => n.toString(16).padStart(32, '0');

function row(kind: RowKind, id: string, more: Partial<VaultRow> = {}): VaultRow {
  return {
    app: APP,
    bucket: Number.parseInt(id.at(-1)!, 16) % BUCKETS,
    kind,
    id,
    version: 1,
    state: rowStates.active,
    wrappingKey: idOf(9) as never,
    ownKey: null,
    holds: [],
    edges: [],
    wrapped: Buffer.from(id, 'hex'),
    erasure: null,
    fingerprint: null,
    owed: null,
    ...more,
  };
}

/** What writers of a vault do, one step after the other. */
class Writer {
  readonly #end: CopiedEnd;
  #last = 0x1000;
  readonly #people: string[] = [];

  constructor(end: CopiedEnd) {
    this.#end = end;
  }

  /** In the bucket of another row, or in one after the other. */
  #newId(beside?: string): string {
    this.#last += 1;
    return idOf(this.#last).slice(1) + (beside?.at(-1) ?? this.#last % BUCKETS);
  }

  /** Somebody new: a ring with one part and an entry together, then the name that leads to them. */
  async add(): Promise<void> {
    const person = await this.#addUnnamed();
    const name = row(rowKinds.identity, this.#newId(), { wrapped: Buffer.from(person, 'hex') });
    await this.#end.store.commit([{ puts: [name] }]);
    this.#people.push(person);
  }

  /** Somebody whose name another writer had given already: they go again. */
  async lose(): Promise<void> {
    const person = await this.#addUnnamed();
    const removals = this.#rowsOf(person);
    await this.#end.store.commit([{ removals: removals.map((key) => ({ ...key, version: 1 })) }]);
  }

  /** Two losses in the ring of everybody: its part makes way for another one, twice. */
  async forget(): Promise<void> {
    for (const person of [...this.#people, ...this.#people]) {
      const [ring] = await this.#end.store.read([row(rowKinds.ownerRing, person)]);
      const part = this.#newId();
      await this.#writePart(part);
      const version = ring!.version + 1;
      const put = { ...ring!, version, wrapped: Buffer.from(part, 'hex') };
      await this.#end.store.commit([{ puts: [put] }]);
      await this.#end.store.removeSegments(APP, [ring!.wrapped.toString('hex') as never]);
    }
  }

  /** A conversation of the newest person, whose entry names it from then on. */
  async converse(): Promise<void> {
    const person = this.#people.at(-1)!;
    const [entry] = await this.#end.store.read([row(rowKinds.subject, person)]);
    const id = this.#newId(person);
    const conversation = row(rowKinds.conversation, id);
    const version = entry!.version + 1;
    const put = { ...entry!, version, wrapped: Buffer.from(id, 'hex') };
    await this.#end.store.commit([{ puts: [conversation, put] }]);
  }

  async #addUnnamed(): Promise<string> {
    const [person, part] = [this.#newId(), this.#newId()];
    await this.#writePart(part);
    const [ring, entry] = this.#rowsOf(person);
    const puts = [{ ...ring!, wrapped: Buffer.from(part, 'hex') }, entry!];
    await this.#end.store.commit([{ puts }]);
    return person;
  }

  #rowsOf(person: string): VaultRow[] {
    return [row(rowKinds.ownerRing, person), row(rowKinds.subject, person)];
  }

  async #writePart(id: string): Promise<void> {
    await this.#end.store.writeSegments(APP, [{ id: id as never, wrapped: Buffer.from(id) }]);
  }
}

const STEPS = ['add', 'lose', 'forget', 'converse'] as const;

/** The vault, of which somebody writes before every row and part that is read of it. */
function besides(end: CopiedEnd, step: () => Promise<void>): CopiedEnd {
  async function* slowly<Item>(items: AsyncIterable<Item>): AsyncIterable<Item> {
    for await (const item of items) {
      await step();
      yield item;
    }
    await step();
  }
  const { copy, store } = end;
  return {
    store,
    copy: {
      ...copy,
      rows: (kinds) => slowly(copy.rows(kinds)),
      segments: () => slowly(copy.segments()),
    },
  };
}

/** What the names in a vault lead to and it does not hold, and rings that have no entry. */
async function missingIn({ copy, store }: CopiedEnd): Promise<string[]> {
  const missing: string[] = [];
  const find = async (kind: RowKind, id: string) => {
    const [found] = await store.read([row(kind, id)]);
    if (found === undefined) missing.push(`kind ${kind}`);
    return found?.wrapped.toString('hex') ?? id;
  };
  for await (const name of copy.rows([rowKinds.identity])) {
    const person = name.wrapped.toString('hex');
    const latest = await find(rowKinds.subject, person);
    if (latest !== person) await find(rowKinds.conversation, latest);
    const part = await find(rowKinds.ownerRing, person);
    if ((await store.readSegments(APP, [part as never]))[0] === undefined) missing.push('part');
  }
  for await (const { id } of copy.rows([rowKinds.ownerRing])) await find(rowKinds.subject, id);
  return missing;
}

describe.each(adapters.vaultCopy)('copy of a vault in %s', (_, open) => {
  const [, openTarget] = adapters.vaultCopy[0]!;

  it('is whole though people come, lose their name to others, talk and are forgotten in part meanwhile', async () => {
    const moments = fc.array(fc.tuple(fc.nat(MOMENTS), fc.constantFrom(...STEPS)), {
      maxLength: 40,
    });
    await fc.assert(
      fc.asyncProperty(moments, async (planned) => {
        const [from, to] = [await open(temporaryFolder()), await openTarget(temporaryFolder())];
        const writer = new Writer(from);
        for (let n = 0; n < PEOPLE; n += 1) await writer.add();
        let reads = 0;
        const step = async () => {
          reads += 1;
          for (const [moment, what] of planned) if (moment === reads) await writer[what]();
        };
        await copyLiveVault(besides(from, step), to);
        expect(await missingIn(to)).toEqual([]);
        expect(await missingIn(from)).toEqual([]);
      }),
      { numRuns: EXAMPLES },
    );
  });

  it('has a ring whose entry is gone as the vault has it, so that a check tells of it', async () => {
    const [from, to] = [await open(temporaryFolder()), await openTarget(temporaryFolder())];
    const ring = row(rowKinds.ownerRing, idOf(0x77));
    await from.store.commit([{ puts: [ring] }]);
    await copyLiveVault(from, to);
    expect(await to.store.read([ring])).toEqual([ring]);
  });
});
