/**
 * The vault's rows in Cassandra. A write is one conditional statement over one partition: the
 * version of each row, and the key that the partition's bucket (or app) holds now. Removed bytes
 * stay in commit logs, SSTables and system.paxos for a while: they are wrapped, and a turn makes
 * them worth nothing (infra/runbooks/cassandra.md).
 */

import { hexToBytes } from '../../../base/hex.ts';
import type { AppId, LossId, SegmentId } from '../../../base/ids.ts';
import type { CassandraDatabase, CqlStatement } from '../../../engines/cassandra-database.ts';
import { bucketKeyRow, bucketOf } from '../key-slots.ts';
import { storedNumber } from '../stored-values.ts';
import {
  type BatchOutcome,
  BUCKETED_KINDS,
  type RowKey,
  type RowKind,
  type RowState,
  rowKeyToText,
  rowKinds,
  type VaultBatch,
  type VaultRow,
  type VaultStore,
} from '../vault-store.ts';
import { outlast, outlastOwed, outlastRemoved } from './outlast-cassandra.ts';
import { listStatements, RARE_KINDS, VaultLists } from './vault-lists-cassandra.ts';
import {
  enteredStatement,
  guardStatement,
  keyParams,
  putStatement,
  READ_ROW,
  READ_VERSION,
  removalStatement,
  type StoredVaultRow,
  toVaultRow,
} from './vault-rows-cassandra.ts';

const FIRST_BUCKETED_KIND = Math.min(...BUCKETED_KINDS);
const PARTITION = 'SELECT * FROM vault_rows WHERE app = ? AND bucket = ?';
const BUCKETS_PER_LOOK = 64;

type Guard = NonNullable<VaultBatch['guard']>;

/** Opens the vault's tables; `lethe migrate` made them. */
export function openVaultStoreCassandra(database: CassandraDatabase): VaultStore {
  return new VaultStoreCassandra(database);
}

class VaultStoreCassandra implements VaultStore {
  readonly guards = 'inPartition';
  readonly #database: CassandraDatabase;
  readonly #lists: VaultLists;
  // Buckets that this process knows to be listed.
  readonly #listed = new Set<string>();

  constructor(database: CassandraDatabase) {
    this.#database = database;
    this.#lists = new VaultLists(database);
  }

  read(keys: readonly RowKey[]): Promise<(VaultRow | undefined)[]> {
    return this.#database.mapAll(keys, async (key) => {
      const row = await this.#database.get<StoredVaultRow>(READ_ROW, ...keyParams(key));
      return row && toVaultRow(row);
    });
  }

  versions(keys: readonly RowKey[]) {
    return this.#database.mapAll(keys, async (key) => {
      const row = await this.#database.get<{ version: unknown; state: number }>(
        READ_VERSION,
        ...keyParams(key),
      );
      return row && { version: storedNumber(row.version), state: row.state as RowState };
    });
  }

  /** Batches of different partitions go side by side, those of one in order. */
  async commit(batches: readonly VaultBatch[]): Promise<BatchOutcome[]> {
    const outcomes = new Map<VaultBatch, BatchOutcome>();
    const isMet = ({ needs = [] }: VaultBatch) =>
      needs.every((one) => outcomes.get(one) === 'done');
    for (const group of inGroups(batches)) {
      const partitions = new Map<string, VaultBatch[]>();
      for (const batch of group) {
        const name = partitionOf(batch);
        partitions.set(name, [...(partitions.get(name) ?? []), batch]);
      }
      const held = new Map<string, Promise<boolean>>();
      await this.#database.mapAll([...partitions.values()], async (own) => {
        for (const batch of own) {
          outcomes.set(batch, isMet(batch) ? await this.#write(batch, held) : 'conflict');
        }
      });
    }
    return batches.map((batch) => outcomes.get(batch)!);
  }

  async *scan(kind: RowKind, app?: AppId): AsyncIterable<VaultRow> {
    if (RARE_KINDS.includes(kind)) {
      yield* this.#scanRare(kind, app);
      return;
    }
    for (const one of app === undefined ? await this.#lists.apps() : [app]) {
      const buckets = await this.#lists.buckets(one);
      for (let at = 0; at < buckets.length; at += BUCKETS_PER_LOOK) {
        const query = `${PARTITION} AND kind = ?`;
        const found = await this.#database.mapAll(
          buckets.slice(at, at + BUCKETS_PER_LOOK),
          (bucket) => this.#database.all<StoredVaultRow>(query, hexToBytes(one), bucket, kind),
        );
        for (const stored of found.flat()) {
          const row = toVaultRow(stored);
          if (isInPlace(row)) yield row;
        }
      }
    }
  }

  async *scanBucket(place: { app: AppId; bucket: number }): AsyncIterable<VaultRow> {
    const query = `${PARTITION} AND kind >= ?`;
    const params = [hexToBytes(place.app), place.bucket, FIRST_BUCKETED_KIND];
    for await (const row of this.#database.each<StoredVaultRow>(query, ...params)) {
      yield toVaultRow(row);
    }
  }

  async entered(keys: readonly RowKey[], loss: LossId): Promise<void> {
    await this.#database.mapAll(keys, async (key) => {
      const isApplied = await this.#database.applySettled([enteredStatement(key, loss)]);
      if (isApplied) await outlastOwed(this.#database, key, loss);
    });
  }

  async dirtyBuckets(): Promise<{ app: AppId; bucket: number }[]> {
    const query = 'SELECT app, bucket FROM vault_dirty WHERE one = 0';
    const rows = await this.#database.all<{ app: Buffer; bucket: number }>(query);
    const found = new Map(
      rows.map(({ app, bucket }) => {
        const one = { app: app.toString('hex') as AppId, bucket };
        return [`${one.app} ${bucket}`, one];
      }),
    );
    return [...found.values()];
  }

  readSegments(app: AppId, ids: readonly SegmentId[]): Promise<(Buffer | undefined)[]> {
    const query = 'SELECT wrapped FROM vault_segments WHERE app = ? AND id = ?';
    return this.#database.mapAll(ids, async (id) => {
      return (await this.#database.get<{ wrapped: Buffer }>(query, hexToBytes(app), hexToBytes(id)))
        ?.wrapped;
    });
  }

  async writeSegments(app: AppId, parts: readonly { id: SegmentId; wrapped: Buffer }[]) {
    const query = 'INSERT INTO vault_segments (app, id, wrapped) VALUES (?, ?, ?)';
    await this.#database.runAll(
      parts.map(({ id, wrapped }) => ({
        query,
        params: [hexToBytes(app), hexToBytes(id), wrapped],
      })),
    );
  }

  async removeSegments(app: AppId, ids: readonly SegmentId[]): Promise<void> {
    const query = 'DELETE FROM vault_segments WHERE app = ? AND id = ?';
    await this.#database.runAll(
      ids.map((id) => ({ query, params: [hexToBytes(app), hexToBytes(id)] })),
    );
  }

  /** Nothing to do: see above. */
  async scrub(): Promise<void> {}

  /** `held`: what was found of keys in other partitions, for all who write beside each other. */
  async #write(batch: VaultBatch, held: Map<string, Promise<boolean>>): Promise<BatchOutcome> {
    const guarded = await this.#withGuard(batch);
    if (guarded === 'conflict') return 'conflict';
    await this.#list(guarded);
    const { puts = [], removals = [], guard } = guarded;
    const isNear = guard !== undefined && partitionName(guard.key) === partitionOf(guarded);
    const rest = [
      ...removals.map(removalStatement),
      ...(isNear ? [guardStatement(guard.key, guard.ownKey)] : []),
    ];
    const isFar = guard !== undefined && !isNear;
    if (isFar && !(await this.#holdsAlready(guard, held))) return 'conflict';
    const write = (written: readonly CqlStatement[]) =>
      this.#database.applySettled([...written, ...rest], () => this.#isDone(guarded));
    if (!(await write(puts.map((row) => putStatement(row))))) {
      const odd = await this.#oddVersions(puts);
      if (odd.every((one) => one === undefined)) return 'conflict';
      if (!(await write(puts.map((row, i) => putStatement(row, odd[i]))))) return 'conflict';
    }
    // A row that is replaced has a version, which a turn raises: only one that is new can be late.
    const isNew = puts.length > 0 && puts.every((row) => row.version === 1);
    const isLate = isFar && isNew && !(await this.#holds(guard));
    if (isLate && (await this.#undo(puts))) return 'conflict';
    if (!(await this.#isAsWritten(guarded))) return 'conflict';
    await this.#unlist(guarded);
    return 'done';
  }

  /** Looked at where there was something before: a cell of it may outlast what was written. */
  async #isAsWritten({ puts = [], removals = [] }: VaultBatch): Promise<boolean> {
    const replaced = puts.filter((row) => row.version > 1);
    const written = await this.#database.mapAll(replaced, (row) => outlast(this.#database, row));
    const gone = await this.#database.mapAll(removals, (row) =>
      outlastRemoved(this.#database, row),
    );
    return !written.includes(false) && !gone.includes(false);
  }

  /** Rows that have a version which nobody writes: what is inserted takes their place. */
  #oddVersions(puts: readonly VaultRow[]) {
    return this.#database.mapAll(puts, async (row) => {
      if (row.version !== 1) return undefined;
      const found = await this.#database.getSerial<{ version: unknown }>(
        READ_VERSION,
        ...keyParams(row),
      );
      return found !== undefined && storedNumber(found.version) === 0 ? found : undefined;
    });
  }

  /** What takes something away is always bound to the bucket's key: its mark names that key. */
  async #withGuard(batch: VaultBatch): Promise<VaultBatch | 'conflict'> {
    const [written] = [...(batch.puts ?? []), ...(batch.removals ?? [])];
    if (!batch.dirties || written === undefined) return batch;
    let { guard } = batch;
    if (guard === undefined) {
      const key = bucketKeyRow(written.app, written.bucket);
      const [row] = await this.read([key]);
      if (row?.ownKey == null) return batch;
      guard = { key, ownKey: row.ownKey };
    }
    const query = 'INSERT INTO vault_dirty (one, app, bucket, key) VALUES (0, ?, ?, ?)';
    await this.#database.run(
      query,
      hexToBytes(written.app),
      written.bucket,
      hexToBytes(guard.ownKey),
    );
    return { ...batch, guard };
  }

  /** Lists what scans look for before it is there: a list may name too much, never too little. */
  async #list({ puts = [] }: VaultBatch): Promise<void> {
    for (const row of puts.filter((one) => one.version === 1)) {
      const isListed = this.#listed.has(partitionName(row));
      if (isListed && !RARE_KINDS.includes(row.kind)) continue;
      await this.#database.runAll(listStatements(row));
      this.#listed.add(partitionName(row));
    }
  }

  async #unlist({ puts = [], cleans }: VaultBatch): Promise<void> {
    if (cleans === undefined) return;
    const at = [hexToBytes(cleans.app), cleans.bucket];
    const now = puts.find((row) => row.kind === rowKinds.bucketKey)?.ownKey;
    const where = 'WHERE one = 0 AND app = ? AND bucket = ?';
    const marks = await this.#database.all<{ key: Buffer }>(
      `SELECT key FROM vault_dirty ${where}`,
      ...at,
    );
    for (const { key } of marks.filter((one) => one.key.toString('hex') !== now)) {
      await this.#database.run(`DELETE FROM vault_dirty ${where} AND key = ?`, ...at, key);
    }
  }

  #holdsAlready(guard: Guard, held: Map<string, Promise<boolean>>): Promise<boolean> {
    const name = `${rowKeyToText(guard.key)} ${guard.ownKey}`;
    const found = held.get(name) ?? this.#holds(guard);
    held.set(name, found);
    return found;
  }

  async #holds({ key, ownKey }: Guard): Promise<boolean> {
    const row = await this.#database.getSerial<StoredVaultRow>(READ_ROW, ...keyParams(key));
    return row?.own_key?.toString('hex') === ownKey;
  }

  /** Was a write whose outcome is unknown applied? Wrapped bytes are never the same twice. */
  async #isDone({ puts = [], removals = [] }: VaultBatch): Promise<boolean> {
    const [put] = puts;
    const [removal] = removals;
    const key = put ?? removal!;
    const row = await this.#database.getSerial<StoredVaultRow>(READ_ROW, ...keyParams(key));
    if (put !== undefined) return row?.wrapped?.equals(put.wrapped) === true;
    return row === undefined;
  }

  /**
   * The key of another partition was replaced while a row was inserted under it: the row goes
   * again. False: a turn has found it and wrapped it anew, so that it stays.
   */
  async #undo(puts: readonly VaultRow[]): Promise<boolean> {
    return this.#database.applySettled(puts.map(removalStatement), async () => {
      const [row] = await this.read(puts.slice(0, 1));
      return row === undefined;
    });
  }

  async *#scanRare(kind: RowKind, app: AppId | undefined): AsyncIterable<VaultRow> {
    const keys = await this.#lists.rare(kind, app);
    for (let at = 0; at < keys.length; at += BUCKETS_PER_LOOK) {
      yield* (await this.read(keys.slice(at, at + BUCKETS_PER_LOOK))).filter(
        (row): row is VaultRow => row !== undefined && isInPlace(row),
      );
    }
  }
}

/** One that lies elsewhere than its id says is found by nobody who asks for it. */
function isInPlace(row: VaultRow): boolean {
  return (bucketOf(row) ?? row.bucket) === row.bucket;
}

/** Batches that may go side by side: those with removals go alone, others after what they need. */
function inGroups(batches: readonly VaultBatch[]): VaultBatch[][] {
  const groups: VaultBatch[][] = [];
  let wasAlone = true;
  for (const batch of batches) {
    const isAlone = (batch.removals ?? []).length > 0;
    const last = groups.at(-1) ?? [];
    const isAfter = batch.needs?.some((one) => last.includes(one)) ?? false;
    if (isAlone || wasAlone || isAfter) groups.push([]);
    groups.at(-1)!.push(batch);
    wasAlone = isAlone;
  }
  return groups;
}

function partitionName({ app, bucket }: Pick<RowKey, 'app' | 'bucket'>): string {
  return `${app} ${bucket}`;
}

function partitionOf({ puts = [], removals = [] }: VaultBatch): string {
  const [written] = [...puts, ...removals];
  return written === undefined ? '' : partitionName(written);
}
