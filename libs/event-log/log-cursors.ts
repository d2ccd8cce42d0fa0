/**
 * Places on the log as callers carry them: sealed, so that they tell no app how much others write;
 * bound to the app, the use and this very store, so that none of another one is taken for its own.
 *
 *   partition u16 ‖ offset u48, for each place, wrapped (libs/keyring/wrapping-key.ts), base64url
 */
import type { AppId, KeyId } from '../base/ids.ts';
import { NO_ID } from '../base/ids.ts';
import type { Randomness } from '../base/random.ts';
import { labels } from '../codec/labels.ts';
import type { StoreMac } from '../keyring/store-mac.ts';
import { WrappingKey } from '../keyring/wrapping-key.ts';
import type { LogPosition } from './event-log.ts';

/** What a cursor is good for: going on with a stream, or waiting for a write. */
export type CursorUse = 'stream' | 'write';

/** Cursors of one app. */
export interface AppCursors {
  seal(use: CursorUse, places: readonly LogPosition[]): string;
  /** Undefined: it was not sealed here, for this app and this use. */
  open(use: CursorUse, cursor: string): LogPosition[] | undefined;
}

/** Cursors of a store. */
export interface LogCursors {
  /** Throws LEASE_LOST, VAULT_UNREACHABLE (both retryable), VAULT_TAMPERED. */
  of(app: AppId): Promise<AppCursors>;
}

const APPS_MAX = 10_000;
const PLACE_BYTES = 8;
const KEY_ID = NO_ID as KeyId;

/** Opens them. `incarnation` names the feed: a restored or copied store has another one. */
export function createLogCursors(deps: {
  readonly mac: StoreMac;
  readonly randomness: Randomness;
  incarnation(): Promise<string>;
}): LogCursors {
  const known = new Map<string, Promise<AppCursors>>();
  const cursorsOf = async (app: AppId, incarnation: string): Promise<AppCursors> => {
    const bytes = Buffer.from(await deps.mac.mac(labels.cursor, [app, incarnation]), 'hex');
    const key = new WrappingKey(KEY_ID, bytes, deps.randomness);
    return {
      seal: (use, places) => key.wrap(encodePlaces(places), Buffer.from(use)).toString('base64url'),
      open(use, cursor) {
        const plain = key.unwrap(Buffer.from(cursor, 'base64url'), Buffer.from(use));
        return plain && decodePlaces(plain);
      },
    };
  };
  return {
    async of(app) {
      const incarnation = await deps.incarnation();
      const name = `${app} ${incarnation}`;
      const found = known.get(name);
      if (found !== undefined) return found;
      if (known.size >= APPS_MAX) known.clear();
      const made = cursorsOf(app, incarnation);
      known.set(name, made);
      made.catch(() => known.delete(name));
      return made;
    },
  };
}

function encodePlaces(places: readonly LogPosition[]): Buffer {
  const bytes = Buffer.alloc(PLACE_BYTES * places.length);
  for (const [i, { partition, offset }] of places.entries()) {
    bytes.writeUInt16BE(partition, PLACE_BYTES * i);
    bytes.writeUIntBE(offset, PLACE_BYTES * i + 2, 6);
  }
  return bytes;
}

function decodePlaces(bytes: Buffer): LogPosition[] {
  return Array.from({ length: Math.floor(bytes.length / PLACE_BYTES) }, (_, i) => ({
    partition: bytes.readUInt16BE(PLACE_BYTES * i),
    offset: bytes.readUIntBE(PLACE_BYTES * i + 2, 6),
  }));
}
