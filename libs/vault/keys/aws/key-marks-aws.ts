/**
 * What keys in AWS KMS were made for: the store, and the one that this was copied from. It stands
 * in a key's description, and in its alias, by which policies name the keys of Lethe. Either can be
 * taken away by itself.
 *
 * https://docs.aws.amazon.com/kms/latest/APIReference/
 */
import {
  type KeyMetadata,
  type KMSClient,
  ListAliasesCommand,
  ListKeysCommand,
} from '@aws-sdk/client-kms';
import type { KeyId } from '../../../base/ids.ts';
import { isLetheError } from '../../../base/lethe-error.ts';

/** What a key was made for. */
export interface KeyMark {
  readonly key: KeyId;
  readonly store: string;
  readonly copiedFrom: string | undefined;
}

const ALIASES = 'alias/lethe/';
/** Store, the one that it was copied from (if it was), and key. */
const ALIAS = /^alias\/lethe\/([^/_]+)(?:_([^/]+))?\/([^/]+)$/;
const DESCRIPTION = /^Lethe: root of the store (\w+)(?:, copied from (\w+))?$/;
const DESCRIBED_AT_ONCE = 8;

/** The description and the alias of a key that is made. */
export function markTexts(store: string, copiedFrom: string | undefined) {
  const from = copiedFrom === undefined ? '' : `, copied from ${copiedFrom}`;
  const mark = copiedFrom === undefined ? store : `${store}_${copiedFrom}`;
  return {
    description: `Lethe: root of the store ${store}${from}`,
    aliasOf: (uuid: string) => `${ALIASES}${mark}/${uuid}`,
  };
}

/** The marks of keys. Failures: ROOT_KMS_DENIED, ROOT_KMS_UNREACHABLE. */
export interface KeyMarks {
  /**
   * Of one key; none: it is gone, not made here, or another's. Alias and description may each be
   * changed by itself: what either says counts.
   */
  of(key: KeyId): Promise<KeyMark[]>;
  /** Of every key of Lethe that is there, one or more of each. */
  all(): Promise<KeyMark[]>;
}

/** Opens them. `describe`: undefined where a key is gone, or never was. */
export function createKeyMarks(
  client: KMSClient,
  call: <Result>(work: () => Promise<Result>) => Promise<Result>,
  describe: (key: KeyId) => Promise<KeyMetadata | undefined>,
): KeyMarks {
  // Of keys that were looked at before: what one was made for does not change.
  const known = new Map<KeyId, KeyMark | undefined>();

  async function described(key: KeyId): Promise<KeyMark | undefined> {
    if (known.has(key)) return known.get(key);
    try {
      const [, store, copiedFrom] =
        DESCRIPTION.exec((await describe(key))?.Description ?? '') ?? [];
      const mark = store === undefined ? undefined : { key, store, copiedFrom };
      known.set(key, mark);
      return mark;
    } catch (error) {
      // Another's, which may not be looked at from here.
      if (isLetheError(error, 'ROOT_KMS_DENIED')) return undefined;
      throw error;
    }
  }

  async function ofAliases(of: { KeyId?: string }): Promise<KeyMark[]> {
    const names: string[] = [];
    for (let Marker: string | undefined; ; ) {
      const command = new ListAliasesCommand({ ...of, ...(Marker && { Marker }) });
      const page = await call(() => client.send(command));
      names.push(...(page.Aliases ?? []).flatMap(({ AliasName }) => AliasName ?? []));
      if (page.NextMarker === undefined) return names.flatMap(readAlias);
      Marker = page.NextMarker;
    }
  }

  async function ofDescriptions(): Promise<KeyMark[]> {
    const keys: KeyId[] = [];
    for (let Marker: string | undefined; ; ) {
      const command = new ListKeysCommand({ ...(Marker && { Marker }) });
      const page = await call(() => client.send(command));
      keys.push(...(page.Keys ?? []).flatMap(({ KeyId }) => (KeyId ? [toKeyId(KeyId)] : [])));
      if (page.NextMarker === undefined) break;
      Marker = page.NextMarker;
    }
    const marks: (KeyMark | undefined)[] = [];
    for (let at = 0; at < keys.length; at += DESCRIBED_AT_ONCE) {
      marks.push(...(await Promise.all(keys.slice(at, at + DESCRIBED_AT_ONCE).map(described))));
    }
    return marks.filter((mark) => mark !== undefined);
  }

  return {
    async of(key) {
      const description = await described(key);
      return [...(description ? [description] : []), ...(await ofAliases({ KeyId: toUuid(key) }))];
    },
    all: async () => [...(await ofAliases({})), ...(await ofDescriptions())],
  };
}

function readAlias(name: string): KeyMark[] {
  const [, store, copiedFrom, uuid] = ALIAS.exec(name) ?? [];
  return store === undefined ? [] : [{ key: toKeyId(uuid!), store, copiedFrom }];
}

/** Ids of KMS keys are UUIDs: 16 bytes, as every id here. */
export function toUuid(key: KeyId): string {
  return key.replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, '$1-$2-$3-$4-$5');
}

/** The id of a key as it is written here. */
export function toKeyId(uuid: string): KeyId {
  return uuid.replaceAll('-', '') as KeyId;
}
