import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { copyLiveVault } from '../../libs/vault/copy/copy-live-vault.ts';
import type { CopiedEnd } from '../../libs/vault/copy/vault-copy.ts';
import {
  type RowKind,
  rowKinds,
  rowStates,
  type VaultRow,
} from '../../libs/vault/rows/vault-store.ts';
import { temporaryFolder } from '../support/temporary-store.ts';
import { adapters } from './adapters.ts';

const APP = '0'.repeat(30).concat('a3') as never;
const BUCKETS = 4;
const PEOPLE = 6;
const MOMENTS = 600;
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
  #cuts = 0;
  readonly #people: string[] = [];

  constructor(end: CopiedEnd) {
    this.#end = end;
  }

  /** In the bucket of another row, or in one after the other. */
  #newId(beside?: string): string {
    this.#last += 1;
    return idOf(this.#last).slice(1) + (beside?.at(-1) ?? this.#last % BUCKETS);
  }

  /** Somebody new: a ring with one segment and an entry together. */
  async add(): Promise<void> {
    this.#people.push(await this.#add());
  }

  /** Somebody whose name another writer had given already: they go again. */
  async lose(): Promise<void> {
    const removals = this.#rowsOf(await this.#add());
    await this.#end.store.commit([{ removals }]);
  }

  /** Two losses in the ring of everybody: its segment makes way for another one, twice. */
  async forget(): Promise<void> {
    for (const person of [...this.#people, ...this.#people]) {
      const [ring] = await this.#end.store.read([row(rowKinds.ownerRing, person)]);
      const segment = this.#newId();
      await this.#writeSegment(segment);
      const version = ring!.version + 1;
      const put = { ...ring!, version, wrapped: Buffer.from(segment, 'hex') };
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

  /** Days of the app are cut: first everybody keeps what they are held for, then it goes. */
  async cut(): Promise<void> {
    this.#cuts += 1;
    const edges = [idOf(this.#cuts)];
    for (const person of this.#people) {
      const [ring] = await this.#end.store.read([row(rowKinds.ownerRing, person)]);
      const put = { ...ring!, version: ring!.version + 1, edges };
      await this.#end.store.commit([{ puts: [put] }]);
    }
    const version = this.#cuts + 1;
    await this.#end.store.commit([{ puts: [row(rowKinds.appRing, APP, { version, edges })] }]);
  }

  async begin(): Promise<void> {
    await this.#end.store.commit([{ puts: [row(rowKinds.appRing, APP, { edges: [idOf(0)] })] }]);
    for (let n = 0; n < PEOPLE; n += 1) await this.add();
  }

  async #add(): Promise<string> {
    const [person, segment] = [this.#newId(), this.#newId()];
    await this.#writeSegment(segment);
    const [ring, entry] = this.#rowsOf(person);
    const edges = [idOf(this.#cuts)];
    const puts = [{ ...ring!, edges, wrapped: Buffer.from(segment, 'hex') }, entry!];
    await this.#end.store.commit([{ puts }]);
    return person;
  }

  #rowsOf(person: string): VaultRow[] {
    return [row(rowKinds.ownerRing, person), row(rowKinds.subject, person)];
  }

  async #writeSegment(id: string): Promise<void> {
    await this.#end.store.writeSegments(APP, [{ id: id as never, wrapped: Buffer.from(id) }]);
  }
}

const STEPS = ['add', 'lose', 'forget', 'converse', 'cut'] as const;

/**
 * The vault, to which somebody writes before every row and segment that is read of it. A part is no
 * more than a bucket, and no two rows of it are read at once.
 */
function besides(end: CopiedEnd, step: () => Promise<void>): CopiedEnd {
  const { copy, store } = end;
  async function* slowly<Item>(items: AsyncIterable<Item>): AsyncIterable<Item> {
    for await (const item of items) {
      await step();
      yield item;
    }
    await step();
  }
  async function* rowsOf(bucket: number): AsyncIterable<VaultRow> {
    for await (const found of slowly(copy.rows())) {
      const [now] = found.bucket === bucket ? await store.read([found]) : [];
      if (now !== undefined) yield now;
    }
  }
  return {
    store,
    copy: {
      ...copy,
      async *parts() {
        for (let bucket = 0; bucket < BUCKETS; bucket += 1) {
          yield { holds: (row) => row.bucket === bucket, rows: () => rowsOf(bucket) };
        }
      },
      segments: () => slowly(copy.segments()),
      segmentNames: () => slowly(copy.segmentNames()),
    },
  };
}

/** What rows of a vault name and it does not hold. */
async function missingIn({ copy, store }: CopiedEnd): Promise<string[]> {
  const missing: string[] = [];
  const expectRow = async (kind: RowKind, id: string) => {
    if ((await store.versions([row(kind, id)]))[0] === undefined) missing.push(`kind ${kind}`);
  };
  const [appRing] = await store.read([row(rowKinds.appRing, APP)]);
  for await (const { kind, id, wrapped, edges } of copy.rows()) {
    const named = wrapped.toString('hex');
    if (kind === rowKinds.subject) {
      await expectRow(rowKinds.ownerRing, id);
      if (named !== id) await expectRow(rowKinds.conversation, named);
    } else if (kind === rowKinds.ownerRing) {
      await expectRow(rowKinds.subject, id);
      if (edges[0]! < appRing!.edges[0]!) missing.push('kept days');
      if ((await store.readSegments(APP, [named as never]))[0] === undefined)
        missing.push('segment');
    }
  }
  return missing;
}

describe.each(adapters.vaultCopy)('copy of a vault in %s', (_, open) => {
  const [, openTarget] = adapters.vaultCopy[0]!;

  it('is whole though people come, go, talk and are forgotten in part meanwhile', async () => {
    const moments = fc.array(fc.tuple(fc.nat(MOMENTS), fc.constantFrom(...STEPS)), {
      maxLength: 60,
    });
    await fc.assert(
      fc.asyncProperty(moments, async (planned) => {
        const [from, to] = [await open(temporaryFolder()), await openTarget(temporaryFolder())];
        const writer = new Writer(from);
        await writer.begin();
        let reads = 0;
        // One after the other, though parts are read side by side.
        let written = Promise.resolve();
        const step = () => {
          reads += 1;
          for (const [moment, what] of planned) {
            if (moment === reads) written = written.then(() => writer[what]());
          }
          return written;
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
