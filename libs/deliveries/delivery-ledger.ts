/**
 * The delivery ledger remembers, for the redelivery horizon, which event each delivery became. It
 * is asked before anybody is looked up or made: that is how a channel's retry cannot bring an
 * erased person's words back.
 */
import { FieldWriter } from '../base/bytes.ts';
import type { RecordedAt } from '../base/clock.ts';
import {
  type AnyId,
  type AppId,
  bytesToId,
  type EventId,
  type IndexId,
  type OwnerId,
  type PlaceId,
  type StreamId,
  type ThingId,
} from '../base/ids.ts';
import { isLetheError, LetheError } from '../base/lethe-error.ts';
import { recordCodec } from '../codec/avro.ts';
import { labels } from '../codec/labels.ts';
import type { OwnerKind } from '../codec/sealed-event.ts';
import type { AppKeys } from '../keyring/app-keys.ts';
import type { DeliveryRow, DeliveryStore, DeliveryWrite } from './delivery-store.ts';

/**
 * What a delivery became. `gone`: refused, or kept past its day because its words were erased.
 * `waiting`: a removal that came before its message, and belongs to nobody yet.
 */
export interface DeliveryEntry {
  readonly eventId: EventId;
  readonly recordedAt: RecordedAt;
  readonly attempt: number;
  readonly ownerKind: OwnerKind;
  readonly owner: OwnerId;
  /** What its event is a fact about: a conversation, or (profiles) a person. */
  readonly conversation: StreamId;
  readonly place: PlaceId;
  readonly thing: ThingId;
  readonly state: 'kept' | 'gone' | 'waiting';
  /** Of a message: who wrote it, its owner (`user`) or the business. */
  readonly authorRole: string | null;
  /** What the delivery said it was; another under its id said another. Null when it is gone. */
  readonly said: SaidId | null;
}

/**
 * HMAC of what a delivery says it is: of whom, where, about which message; not of its words. The
 * delivery's own name is part of it: whoever knows a person alone finds none of their entries.
 */
export type SaidId = IndexId & { readonly __said: never };

/** What names a delivery. A message has no actor: one source has one message of an id. */
export interface DeliveryName {
  readonly source: string;
  readonly id: string;
  readonly type: string;
  readonly actorChannel: string;
  readonly actorExternalId: string;
}

/** An entry with the row that holds it. */
export interface KnownDelivery {
  readonly row: DeliveryWrite;
  readonly entry: DeliveryEntry;
  /** Are its events on the log? */
  readonly isSettled: boolean;
}

/** A row to be written. */
export type PreparedRow = DeliveryWrite & {
  /** The row that says after it that nothing of the delivery is kept. */
  asGone(): DeliveryWrite;
};

/** Knows deliveries again for the redelivery horizon. Failures: STATE_UNREACHABLE, LEASE_LOST. */
export interface DeliveryLedger {
  /** The row ids of deliveries: first 16 bytes of an HMAC under the app's index key. */
  names(app: AppId, deliveries: readonly DeliveryName[]): Promise<IndexId[]>;
  /** What deliveries say they are: first 16 bytes of an HMAC under the same key. */
  sayings(
    app: AppId,
    deliveries: readonly Pick<DeliveryName, 'source' | 'id'>[],
    said: readonly (readonly string[])[],
  ): Promise<SaidId[]>;
  find(app: AppId, ids: readonly IndexId[]): Promise<(KnownDelivery | undefined)[]>;
  /**
   * Rows that remember entries under the ledger key of `day`; `known` names the row that is
   * replaced. They are written together with the events they stand for.
   */
  prepare(
    app: AppId,
    writes: readonly { id: IndexId; entry: DeliveryEntry; known?: KnownDelivery }[],
    day: number,
  ): Promise<PreparedRow[]>;
  /**
   * Removes entries of days before `day - horizonDays`, and the keys of those days. One whose words
   * `isGone` stays one more horizon, once. One that is damaged says nothing of anybody, and goes.
   * The number removed.
   */
  sweep(
    app: AppId,
    horizon: { day: number; horizonDays: number },
    isGone: (entries: readonly DeliveryEntry[]) => Promise<readonly boolean[]>,
  ): Promise<number>;
}

const WRAP_KIND = 64;
const SWEEP_ROWS = 500;
const codec = recordCodec<DeliveryEntry>('DeliveryEntry');

/** label ‖ format ‖ lp(kind) ‖ lp(app) ‖ lp(id) ‖ lp(revision) ‖ lp(day): where a row lies. */
function associatedData(app: AppId, row: { id: IndexId; revision: number; day: number }): Buffer {
  const out = new FieldWriter(labels.wrap);
  out.u8(1).lpU8(WRAP_KIND).lpHex(app).lpHex(row.id).lpU64(row.revision).lpU64(row.day);
  return out.take();
}

/** Nothing of a delivery is kept but that it came, and whose it was by a random id. */
function entryOfGone(entry: DeliveryEntry): DeliveryEntry {
  return { ...entry, state: 'gone', said: null };
}

/** Opens the ledger over its store and the app's keys. */
export function createDeliveryLedger(deps: {
  store: DeliveryStore;
  keys: Pick<AppKeys, 'indexKey' | 'ledgerKey' | 'endLedgerKeys'>;
}): DeliveryLedger {
  const { store, keys } = deps;

  async function open(app: AppId, row: DeliveryRow): Promise<KnownDelivery> {
    const key = await keys.ledgerKey(app, row.day);
    const plain = key.unwrap(row.wrapped, associatedData(app, row));
    if (plain === undefined) {
      throw new LetheError('VAULT_TAMPERED', 'an entry of the delivery ledger was changed');
    }
    return { row, entry: codec.decodeTagged(plain), isSettled: row.isSettled };
  }

  /** Undefined: the row, or the key of its day, is damaged. */
  async function tryOpen(app: AppId, row: DeliveryRow): Promise<KnownDelivery | undefined> {
    try {
      return await open(app, row);
    } catch (error) {
      if (isLetheError(error, 'VAULT_TAMPERED')) return undefined;
      throw error;
    }
  }

  async function digests<Id extends AnyId>(
    app: AppId,
    label: Buffer,
    all: readonly (readonly string[])[],
  ): Promise<Id[]> {
    const key = await keys.indexKey(app);
    if (key === undefined) throw new LetheError('INVARIANT_BROKEN', 'no such app');
    return all.map((fields) => bytesToId<Id>(key.digestFields(label, fields).subarray(0, 16)));
  }

  const ledger: DeliveryLedger = {
    names: (app, deliveries) =>
      digests(
        app,
        labels.deliveryIndex,
        deliveries.map(({ source, id, type, actorChannel, actorExternalId }) => {
          return [source, id, type, actorChannel, actorExternalId];
        }),
      ),
    sayings: (app, deliveries, said) =>
      digests(
        app,
        labels.deliverySaid,
        deliveries.map(({ source, id }, i) => [source, id, ...said[i]!]),
      ),
    async find(app, ids) {
      const rows = await store.find(app, ids);
      const found: (KnownDelivery | undefined)[] = [];
      for (const row of rows) found.push(row && (await open(app, row)));
      return found;
    },
    async prepare(app, writes, day) {
      const key = await keys.ledgerKey(app, day);
      const rowOf = (id: IndexId, revision: number, entry: DeliveryEntry): DeliveryWrite => {
        const bound = associatedData(app, { id, revision, day });
        return { id, day, revision, wrapped: key.wrap(codec.encodeTagged(entry), bound) };
      };
      return writes.map(({ id, entry, known }) => {
        const revision = (known?.row.revision ?? 0) + 1;
        const asGone = () => rowOf(id, revision + 1, entryOfGone(entry));
        return { ...rowOf(id, revision, entry), asGone };
      });
    },
    async sweep(app, { day, horizonDays }, isGone) {
      let removed = 0;
      for (;;) {
        const rows = await store.olderThan(app, day - horizonDays, SWEEP_ROWS);
        if (rows.length === 0) break;
        const opened = await Promise.all(rows.map((row) => tryOpen(app, row)));
        const known = opened
          .filter((one) => one !== undefined)
          .filter(({ entry }) => entry.state !== 'waiting');
        const gone = await isGone(known.map((one) => one.entry));
        const kept = known.filter((one, i) => gone[i] && one.entry.state === 'kept');
        const writes = kept.map((one) => ({
          id: one.row.id,
          entry: entryOfGone(one.entry),
          known: one,
        }));
        const rewritten = await ledger.prepare(app, writes, day);
        await store.put(app, rewritten);
        await store.settle(app, rewritten);
        const renewed = new Set(kept.map((one) => one.row.id));
        const expired = rows.map(({ id }) => id).filter((id) => !renewed.has(id));
        await store.remove(app, expired);
        removed += expired.length;
      }
      await keys.endLedgerKeys(app, day - horizonDays);
      return removed;
    },
  };
  return ledger;
}
