/** The apps of a store: each with its root, its keys, its ring and a place for its own facts. */

import { type AppId, idToBytes, isId, type PlaceId } from '../../base/ids.ts';
import { isLetheError, LetheError } from '../../base/lethe-error.ts';
import { type Randomness, randomId, randomIdInBucket } from '../../base/random.ts';
import { again, retryContended } from '../../base/retry.ts';
import { recordCodec } from '../../codec/avro.ts';
import { problemOfRules, type SpellingRules } from '../../conversation/spelling-rules.ts';
import type { WrappingKey } from '../../keyring/wrapping-key.ts';
import { appRecordRow, appRootRow, STORE_ROOT } from '../rows/key-slots.ts';
import { type RowKey, rowKinds, type VaultRow, type VaultStore } from '../rows/vault-store.ts';
import { unwrapRow, wrapRow } from '../rows/wrapped-row.ts';
import type { KeyHierarchy } from './key-hierarchy.ts';
import { newKeyRow } from './key-rows.ts';

/** What is known of an app. */
export interface App {
  readonly id: AppId;
  readonly name: string;
  /** How many buckets its rows are spread over; fixed when it is made. */
  readonly buckets: number;
  /** Where the app's own facts lie. */
  readonly factsPlace: PlaceId;
  readonly createdAt: number;
  /** How identities are spelled, by channel; fixed when it is made. */
  readonly spellingRules: SpellingRules;
}

interface AppRecord {
  name: string;
  buckets: number;
  factsPlace: string;
  createdAt: number;
  spellingRules: Record<string, string>;
}

export const BUCKETS_DEFAULT = 256;
export const BUCKETS_MAX = 65_536;
const APP_NAME_PATTERN = /^[a-z0-9][a-z0-9-]{0,62}$/;
const appCodec = recordCodec<AppRecord>('AppRecord');

/** What an app is made with. */
export interface NewApp {
  readonly name: string;
  readonly buckets?: number;
  readonly spellingRules?: SpellingRules;
}

/** The apps of a store. Failures: VAULT_UNREACHABLE, VAULT_TAMPERED. */
export interface AppRegistry {
  /** Makes an app (without its rings). Throws INPUT_INVALID: name, buckets or rules. */
  create(options: NewApp & { readonly nowMs: number }): Promise<App | 'exists'>;
  /** The app of this id or name; undefined: none, or erased. */
  find(idOrName: string): Promise<App | undefined>;
  list(): Promise<App[]>;
  /** Was there an app of this id that was erased? Its name went with it. */
  wasErased(app: AppId): Promise<boolean>;
  /** Drops what is cached of an app after it was erased, or (`all`) of every app. */
  drop(app: AppId | 'all'): void;
}

/** Opens the registry of a vault. */
export function createAppRegistry(deps: {
  store: VaultStore;
  hierarchy: KeyHierarchy;
  randomness: Randomness;
}): AppRegistry {
  const { store, hierarchy, randomness } = deps;
  const cache = new Map<AppId, App>();

  async function read(app: AppId): Promise<App | undefined> {
    const known = cache.get(app);
    if (known !== undefined) return known;
    const root = await hierarchy.appRoot(app);
    if (root === undefined) return undefined;
    const [row] = await store.read([appRecordRow(app)]);
    if (row === undefined) {
      throw new LetheError('VAULT_TAMPERED', `the record of app ${app} is missing`);
    }
    const record = appCodec.decodeTagged(unwrapRow(row, await hierarchy.openerOf(row)));
    const found = { ...record, id: app, factsPlace: record.factsPlace as PlaceId };
    cache.set(app, found);
    return found;
  }

  async function wasErased(app: AppId): Promise<boolean> {
    const [row] = await store.read([appRootRow(app)]);
    return row !== undefined && (await hierarchy.appRoot(app)) === undefined;
  }

  async function list(): Promise<App[]> {
    const apps: App[] = [];
    let damage: unknown;
    for await (const row of store.scan(rowKinds.appRecord)) {
      try {
        const app = await read(row.app);
        if (app !== undefined) apps.push(app);
        else if (!(await wasErased(row.app))) {
          throw new LetheError('VAULT_TAMPERED', `the root of app ${row.app} is missing`);
        }
      } catch (error) {
        // One that is damaged keeps no other from being served; it is named when it is asked for.
        if (!isLetheError(error, 'VAULT_TAMPERED')) throw error;
        damage = error;
      }
    }
    if (apps.length === 0 && damage !== undefined) throw damage;
    // A store that seems to have no app is given one: it must not be for want of a row. One whose
    // making was interrupted has no ring yet.
    if (apps.length === 0) {
      for await (const row of store.scan(rowKinds.appRing)) await read(row.app);
    }
    return apps.sort((a, b) => a.createdAt - b.createdAt);
  }

  return {
    list,
    wasErased,
    drop: (app) => void (app === 'all' ? cache.clear() : cache.delete(app)),
    async find(idOrName) {
      if (isId(idOrName)) return read(idOrName as AppId);
      for (const app of cache.values()) if (app.name === idOrName) return app;
      return (await list()).find((app) => app.name === idOrName);
    },
    async create({ name, buckets = BUCKETS_DEFAULT, spellingRules = {}, nowMs }) {
      assertAppOptions(name, buckets);
      const problem = await problemOfRules(spellingRules);
      if (problem !== undefined) throw new LetheError('INPUT_INVALID', problem);
      if ((await list()).some((app) => app.name === name)) return 'exists';
      const id = randomId<AppId>(randomness);
      const bucket = idToBytes(id).readUInt16BE(0) % buckets;
      const factsPlace = randomIdInBucket<PlaceId>(randomness, bucket);
      await commitUnder(
        deps,
        STORE_ROOT,
        () => hierarchy.storeRoot(),
        (root) => newKeyRow(appRootRow(id), root, randomness),
      );
      // Before its record: a living app without it was changed from outside.
      await hierarchy.subKey(id, rowKinds.indexKey, id);
      const record = { name, buckets, factsPlace, createdAt: nowMs, spellingRules };
      await commitUnder(
        deps,
        appRootRow(id),
        () => hierarchy.appRoot(id),
        (root) => wrapRow({ key: appRecordRow(id) }, appCodec.encodeTagged(record), root),
      );
      return { ...record, id };
    },
  };
}

/** Inserts a row under a key of the hierarchy, again if a turn replaces that key meanwhile. */
async function commitUnder(
  { store, hierarchy }: { store: VaultStore; hierarchy: KeyHierarchy },
  parentRow: RowKey,
  parent: () => Promise<WrappingKey | undefined>,
  row: (parent: WrappingKey) => VaultRow,
): Promise<void> {
  return retryContended(async () => {
    const key = (await parent())!;
    const guard = { key: parentRow, ownKey: key.id };
    const [outcome] = await store.commit([{ guard, puts: [row(key)] }]);
    if (outcome === 'done') return;
    hierarchy.forgetBucketKey(parentRow.app, 0);
    return again;
  });
}

function assertAppOptions(name: string, buckets: number): void {
  if (!APP_NAME_PATTERN.test(name) || isId(name)) {
    const expected = 'lower-case letters, digits and hyphens, 1 to 63 of them, as in "demo"';
    throw new LetheError('INPUT_INVALID', `the name of an app has ${expected}`);
  }
  if (!Number.isInteger(buckets) || buckets < 1 || buckets > BUCKETS_MAX) {
    throw new LetheError('INPUT_INVALID', `an app has 1 to ${BUCKETS_MAX} buckets`);
  }
}
