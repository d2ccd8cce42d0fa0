/**
 * The path from the root KMS down to bucket keys:
 *
 *   KMS key ─> store root ─> app roots ─> bucket keys (and the app's index, access, ledger keys)
 *
 * Keys are made at first use by insert-if-absent, so that two processes end with one; concurrent
 * first uses share one load, and the KMS is called once a process. While a turn replaces a key, its
 * predecessor lies beside it, and rows say which of the two wraps them.
 */

import { type AppId, type KeyId, NO_ID } from '../../base/ids.ts';
import { isLetheError, LetheError } from '../../base/lethe-error.ts';
import type { Randomness } from '../../base/random.ts';
import { again, contended, retryContended } from '../../base/retry.ts';
import { secretCopy } from '../../base/secret-bytes.ts';
import { createSingleFlight } from '../../base/single-flight.ts';
import { passOverDamage } from '../../keyring/past-damage.ts';
import { WrappingKey } from '../../keyring/wrapping-key.ts';
import type { LossFeed } from '../feed/feed-wait.ts';
import type { KeyLease } from '../feed/key-lease.ts';
import { enterOwed, type OwedEntries } from '../feed/owed-entries.ts';
import {
  appRootRow,
  bucketKeyRow,
  type KeySlot,
  parentSlot,
  STORE_ROOT,
  storeRow,
  storeSlot,
} from '../rows/key-slots.ts';
import {
  type RowKey,
  type RowKind,
  rowKeyToText,
  rowKinds,
  type VaultBatch,
  type VaultRow,
  type VaultStore,
} from '../rows/vault-store.ts';
import { openRow, rowAssociatedData } from '../rows/wrapped-row.ts';
import { keyRowOf, makeStoreRoot, newKeyRow } from './key-rows.ts';
import type { RootKms } from './root-kms.ts';

const STORE = NO_ID as AppId;

/** The keys above rings and directory rows. */
export interface KeyHierarchy {
  /** Opens the store root: made at the first start. Throws ROOT_KMS_DENIED, VAULT_TAMPERED. */
  storeRoot(): Promise<WrappingKey>;
  /** Undefined: no such app, or it was erased. */
  appRoot(app: AppId): Promise<WrappingKey | undefined>;
  /** The current keys of an app's buckets; missing ones are made. */
  bucketKeys(app: AppId, buckets: readonly number[]): Promise<Map<number, WrappingKey>>;
  /** The key that a row says it is wrapped under. Throws VAULT_TAMPERED: there is none. */
  openerOf(row: VaultRow): Promise<WrappingKey>;
  /** The key that a key row holds. Throws VAULT_TAMPERED. */
  openKeyRow(row: VaultRow): Promise<SubKey | 'erased'>;
  /** Drops what is known to be current after a conflict, so that the next call reads it again. */
  forgetBucketKey(app: AppId, bucket: number): void;
  /** Drops all that is known to be current: another process may have turned the epoch. */
  forgetCurrent(): void;
  /** Zeroes and drops all keys of an app that was erased. */
  forgetApp(app: AppId): void;
  /** Zeroes and drops every key: what was lost cannot be known. */
  forgetAll(): void;
  /** Zeroes and drops keys that a turn has retired. */
  forgetKeys(ids: ReadonlySet<string>): void;
  /** Zeroes and drops what a row held that is gone. */
  forgetRow(row: Pick<RowKey, 'app' | 'kind' | 'id'>): void;
  /** A key under the app root (or, for the app id NO_ID, the store root); made at first use. */
  subKey(app: AppId, kind: RowKind, id: string): Promise<SubKey>;
  /**
   * A key of the store that opens nothing, so that no lease is needed. It is made at first use, and
   * made anew where its row is damaged: nothing that lasts may rest on it.
   */
  replaceableKey(kind: RowKind, id: string): Promise<SubKey>;
  /** Makes one anew: whoever has the one before knows nothing of it. */
  replaceKey(kind: RowKind, id: string): Promise<void>;
  /**
   * A key of the store that what lasts rests on. It lies in two rows, made at first use: where one
   * is damaged or gone, it is written anew from the other. Throws VAULT_TAMPERED: both are damaged.
   */
  sparedKey(kind: RowKind, ids: SparedIds): Promise<SubKey>;
  /** As `sparedKey`, but none is made: undefined where there is none. */
  findSparedKey(kind: RowKind, ids: SparedIds): Promise<SubKey | undefined>;
  /** Puts a new key in the place of a spared one, which then lies under the ids of a former one. */
  replaceSparedKey(kind: RowKind, ids: SparedIds, former: SparedIds): Promise<void>;
  /** As `subKey`, but none is made: undefined where there is none. */
  findSubKey(app: AppId, kind: RowKind, id: string): Promise<SubKey | undefined>;
}

/** Where a key lies that is in two rows. */
export interface SparedIds {
  readonly id: string;
  readonly spareId: string;
}

/**
 * A key of the hierarchy, with its bytes for those that are not wrapping keys. The bytes are to be
 * read anew after whatever was awaited: reading them throws CONTENDED when they were zeroed.
 */
export interface SubKey {
  readonly wrapping: WrappingKey;
  readonly bytes: Buffer;
}

interface Deps {
  readonly store: VaultStore;
  readonly kms: RootKms;
  readonly randomness: Randomness;
  readonly lease: Pick<KeyLease, 'ensure' | 'losses'>;
  readonly lossFeed: OwedEntries['lossFeed'] & Pick<LossFeed, 'head'>;
}

/** Opens the hierarchy over a store and a KMS. */
export function createKeyHierarchy(deps: Deps): KeyHierarchy {
  return new Hierarchy(deps);
}

class Hierarchy implements KeyHierarchy {
  readonly #deps: Deps;
  readonly #keys = new Map<KeyId, SubKey & { app: AppId }>();
  /** Which key a row held when it was read last. */
  readonly #current = new Map<string, KeyId>();
  readonly #openStoreRoots = createSingleFlight((text: string) => this.#readStoreRoots(text));
  readonly #makeSubKey = createSingleFlight((text: string) => this.#openSubKey(text));

  constructor(deps: Deps) {
    this.#deps = deps;
  }

  async storeRoot(): Promise<WrappingKey> {
    const known = this.#known(STORE_ROOT);
    if (known !== undefined) return known.wrapping;
    await this.#openStoreRoots('current');
    return this.#known(STORE_ROOT)!.wrapping;
  }

  async appRoot(app: AppId): Promise<WrappingKey | undefined> {
    await this.#deps.lease.ensure();
    const key = appRootRow(app);
    const known = this.#known(key);
    if (known !== undefined) return known.wrapping;
    const [row] = await this.#deps.store.read([key]);
    if (row === undefined) return undefined;
    await enterOwed(this.#deps, [row]);
    const opened = await this.#open(row);
    return opened === 'erased' ? undefined : opened.wrapping;
  }

  async bucketKeys(app: AppId, buckets: readonly number[]): Promise<Map<number, WrappingKey>> {
    await this.#deps.lease.ensure();
    const found = new Map<number, WrappingKey>();
    const missing: number[] = [];
    for (const bucket of new Set(buckets)) {
      const known = this.#known(bucketKeyRow(app, bucket));
      if (known === undefined) missing.push(bucket);
      else found.set(bucket, known.wrapping);
    }
    if (missing.length === 0) return found;
    const rows = missing.map((bucket) => bucketKeyRow(app, bucket));
    for (const [i, key] of (await this.#openOrMake(app, rows)).entries()) {
      found.set(missing[i]!, key.wrapping);
    }
    return found;
  }

  async openerOf(row: VaultRow): Promise<WrappingKey> {
    const key = await this.#byId(parentSlot(row), row.wrappingKey);
    if (key !== undefined) return key.wrapping;
    // A turn may have wrapped it anew since it was read.
    const [now] = await this.#deps.store.read([row]);
    if (now !== undefined && now.wrappingKey !== row.wrappingKey) throw contended();
    throw new LetheError('VAULT_TAMPERED', `a row of the vault (${row.id}) names no key`);
  }

  async openKeyRow(row: VaultRow): Promise<SubKey | 'erased'> {
    if (row.kind !== rowKinds.storeRoot && row.kind !== rowKinds.storeRootPrevious) {
      return this.#open(row);
    }
    if (row.ownKey !== null) await this.#openStoreRoots(row.ownKey);
    const opened = row.ownKey === null ? undefined : this.#keys.get(row.ownKey);
    if (opened !== undefined) return opened;
    throw new LetheError('VAULT_TAMPERED', 'a root of the store names no key');
  }

  forgetBucketKey(app: AppId, bucket: number): void {
    this.#current.delete(rowKeyToText(bucketKeyRow(app, bucket)));
    this.#current.delete(rowKeyToText(appRootRow(app)));
    this.#current.delete(rowKeyToText(STORE_ROOT));
  }

  forgetCurrent(): void {
    this.#current.clear();
  }

  forgetAll(): void {
    this.forgetKeys(new Set(this.#keys.keys()));
  }

  forgetApp(app: AppId): void {
    const own = [...this.#keys].filter(([, key]) => key.app === app).map(([id]) => id);
    this.forgetKeys(new Set(own));
  }

  forgetKeys(ids: ReadonlySet<string>): void {
    for (const [text, id] of this.#current) if (ids.has(id)) this.#current.delete(text);
    for (const id of ids) {
      this.#keys.get(id as KeyId)?.wrapping.destroy();
      this.#keys.delete(id as KeyId);
    }
  }

  forgetRow(row: Pick<RowKey, 'app' | 'kind' | 'id'>): void {
    const id = this.#current.get(rowKeyToText(row));
    if (id !== undefined) this.forgetKeys(new Set([id]));
  }

  async subKey(app: AppId, kind: RowKind, id: string): Promise<SubKey> {
    await this.#deps.lease.ensure();
    const known = this.#known({ app, bucket: 0, kind, id });
    return known ?? this.#makeSubKey(`${app} ${kind} ${id}`);
  }

  async findSubKey(app: AppId, kind: RowKind, id: string): Promise<SubKey | undefined> {
    const { lease, store } = this.#deps;
    const key = { app, bucket: 0, kind, id };
    return retryContended(async () => {
      await lease.ensure();
      const known = this.#known(key);
      if (known !== undefined) return known;
      const { losses } = lease;
      const [row] = await store.read([key]);
      const opened = row && (await this.#open(row));
      // What was read before a loss may be what was lost.
      if (losses === lease.losses) return opened === 'erased' ? undefined : opened;
      this.forgetRow(key);
      return again;
    });
  }

  async replaceableKey(kind: RowKind, id: string): Promise<SubKey> {
    const key = storeRow(kind, id);
    return retryContended(async () => {
      this.#current.delete(rowKeyToText(key));
      try {
        return (await this.#openOrMake(STORE, [key]))[0]!;
      } catch (error) {
        if (!isLetheError(error, 'VAULT_TAMPERED')) throw error;
        await this.replaceKey(kind, id);
        return again;
      }
    });
  }

  async replaceKey(kind: RowKind, id: string): Promise<void> {
    const { store, randomness } = this.#deps;
    const key = storeRow(kind, id);
    const root = await this.storeRoot();
    const [row] = await store.read([key]);
    await this.#commitUnder(root, { puts: [newKeyRow(key, root, randomness, row)] });
  }

  /** Writes rows under the store's root. Throws CONTENDED: they, or the root, have changed. */
  async #commitUnder(root: WrappingKey, batch: Pick<VaultBatch, 'puts' | 'removals'>) {
    const guard = { key: STORE_ROOT, ownKey: root.id };
    const [outcome] = await this.#deps.store.commit([{ guard, ...batch }]);
    // Another process may have turned the epoch.
    this.forgetCurrent();
    if (outcome !== 'done') throw contended();
  }

  async sparedKey(kind: RowKind, ids: SparedIds): Promise<SubKey> {
    await this.#deps.lease.ensure();
    const key = storeRow(kind, ids.id);
    const known = this.#known(key);
    if (known !== undefined) return known;
    return retryContended(async () => {
      const found = await this.#readSpared(kind, ids);
      if (found !== undefined) return found;
      await this.#openOrMake(STORE, [key]);
      return again;
    });
  }

  async findSparedKey(kind: RowKind, ids: SparedIds): Promise<SubKey | undefined> {
    await this.#deps.lease.ensure();
    return this.#known(storeRow(kind, ids.id)) ?? this.#readSpared(kind, ids);
  }

  /** Opens it, and writes either row anew from the other where that is damaged or gone. */
  async #readSpared(kind: RowKind, ids: SparedIds): Promise<SubKey | undefined> {
    const keys = sparedRows(kind, ids);
    const { store } = this.#deps;
    const rows = await store.read(keys);
    const opened: (SubKey | undefined)[] = [];
    for (const row of rows) opened.push(await this.#openWhole(row));
    const key = opened[0] ?? opened[1];
    if (key === undefined) {
      if (rows.some((row) => row !== undefined)) throw damagedTwice(ids.id);
      return undefined;
    }
    const root = await this.storeRoot();
    for (const [i, row] of rows.entries()) {
      if (opened[i]?.wrapping.id === key.wrapping.id) continue;
      const puts = [keyRowOf(keys[i]!, key, root, row)];
      await store.commit([{ guard: { key: STORE_ROOT, ownKey: root.id }, puts }]);
    }
    return key;
  }

  async replaceSparedKey(kind: RowKind, ids: SparedIds, former: SparedIds): Promise<void> {
    const { store, randomness } = this.#deps;
    const key = await this.sparedKey(kind, ids);
    const root = await this.storeRoot();
    const [row, spare] = await store.read(sparedRows(kind, ids));
    const puts = [
      newKeyRow(storeRow(kind, ids.id), root, randomness, row),
      ...sparedRows(kind, former).map((one) => keyRowOf(one, key, root)),
    ];
    await this.#commitUnder(root, { puts, removals: spare === undefined ? [] : [spare] });
  }

  /** Opens a row that may be damaged. */
  async #openWhole(row: VaultRow | undefined): Promise<SubKey | undefined> {
    const opened = row && (await passOverDamage(() => this.#open(row)));
    return opened === 'erased' ? undefined : opened;
  }

  async #openSubKey(text: string): Promise<SubKey> {
    const [app, kind, id] = text.split(' ') as [AppId, string, string];
    const [key] = await this.#openOrMake(app, [
      { app, bucket: 0, kind: Number(kind) as RowKind, id },
    ]);
    return key!;
  }

  #known(key: RowKey): SubKey | undefined {
    const id = this.#current.get(rowKeyToText(key));
    return id === undefined ? undefined : this.#keys.get(id);
  }

  /** The key of this id in a slot: the current one, or its predecessor during a turn. */
  async #byId(slot: KeySlot, id: KeyId): Promise<SubKey | undefined> {
    const known = this.#keys.get(id);
    if (known !== undefined) return known;
    if (slot.current.kind === rowKinds.storeRoot) {
      await this.#openStoreRoots(id);
      return this.#keys.get(id);
    }
    const rows = await this.#deps.store.read([slot.current, slot.previous]);
    const row = rows.find((one) => one?.ownKey === id);
    if (row === undefined) return undefined;
    const opened = await this.#open(row);
    return opened === 'erased' ? undefined : opened;
  }

  /** Opens a row that holds a key, and remembers it as what that row holds. */
  async #open(row: VaultRow): Promise<SubKey | 'erased'> {
    const parent = await this.#byId(parentSlot(row), row.wrappingKey);
    if (parent === undefined) {
      throw new LetheError('VAULT_TAMPERED', `a key row of the vault (${row.id}) names no key`);
    }
    const plain = openRow(row, parent.wrapping);
    return plain === 'erased' ? 'erased' : this.#keep(row, plain);
  }

  #keep(row: VaultRow, plain: Buffer): SubKey {
    if (plain.toString('hex', 0, 16) !== row.ownKey) {
      throw new LetheError('VAULT_TAMPERED', 'a key row of the vault names another key');
    }
    this.#current.set(rowKeyToText(row), row.ownKey);
    const known = this.#keys.get(row.ownKey);
    if (known !== undefined) {
      plain.fill(0);
      return known;
    }
    const bytes = secretCopy(plain.subarray(16));
    plain.fill(0);
    const wrapping = new WrappingKey(row.ownKey, bytes, this.#deps.randomness);
    const opened = {
      wrapping,
      app: row.app,
      get bytes() {
        if (wrapping.isDestroyed) throw contended();
        return bytes;
      },
    };
    this.#keys.set(row.ownKey, opened);
    return opened;
  }

  /** Reads or makes key rows under an app's root, or the store's. */
  async #openOrMake(app: AppId, keys: readonly RowKey[]): Promise<SubKey[]> {
    const { store, randomness } = this.#deps;
    return retryContended(async () => {
      const parentRow = app === STORE ? STORE_ROOT : appRootRow(app);
      const parent = app === STORE ? await this.storeRoot() : await this.appRoot(app);
      if (parent === undefined) throw new LetheError('INVARIANT_BROKEN', 'no such app');
      const rows = await store.read(keys);
      const missing = keys.filter((_, i) => rows[i] === undefined);
      if (missing.length === 0) {
        const opened: SubKey[] = [];
        for (const row of rows) {
          const key = await this.#open(row!);
          if (key !== 'erased') opened.push(key);
        }
        return opened;
      }
      const guard = { key: parentRow, ownKey: parent.id };
      const puts = missing.map((key) => newKeyRow(key, parent, randomness));
      const outcomes = await store.commit(puts.map((row) => ({ guard, puts: [row] })));
      // Somebody else made one, or a turn has replaced the parent.
      if (outcomes.includes('conflict')) this.#current.delete(rowKeyToText(parentRow));
      if (outcomes.includes('conflict')) this.#current.delete(rowKeyToText(STORE_ROOT));
      return again;
    });
  }

  /** Asks the KMS for the store's root, or for its predecessor if that is the one that is meant. */
  async #readStoreRoots(wanted: string): Promise<void> {
    const { store, kms } = this.#deps;
    const slot = storeSlot();
    let rows = await store.read([slot.current, slot.previous]);
    if (rows[0] === undefined) {
      await makeStoreRoot(this.#deps);
      rows = await store.read([slot.current, slot.previous]);
    }
    const row = wanted === 'current' ? rows[0] : rows.find((one) => one?.ownKey === wanted);
    if (row === undefined) return;
    if (row.ownKey !== null && this.#keys.has(row.ownKey)) {
      this.#current.set(rowKeyToText(row), row.ownKey);
      return;
    }
    const context = rowAssociatedData(row).toString('hex');
    this.#keep(row, await kms.unwrap(row.wrappingKey, row.wrapped, context));
  }
}

/** The two rows of a key that is spared. */
export function sparedRows(kind: RowKind, { id, spareId }: SparedIds): RowKey[] {
  return [storeRow(kind, id), storeRow(kind, spareId)];
}

function damagedTwice(id: string): LetheError {
  const text = `both rows of a key of the store (${id}) are damaged: restore the newest backup`;
  return new LetheError('VAULT_TAMPERED', text);
}
