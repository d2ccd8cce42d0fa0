/**
 * Makes access keys and recognises them: HTTP Basic (RFC 7617) and HS256 JSON Web Tokens (RFC 7519)
 * whose `kid` is the key id and whose claim `scope` is the key's scope. A secret is shown once.
 */
import { createHash, timingSafeEqual } from 'node:crypto';
import { decodeProtectedHeader, jwtVerify } from 'jose';
import { lp } from '../base/bytes.ts';
import type { AppId } from '../base/ids.ts';
import { LetheError } from '../base/lethe-error.ts';
import type { Randomness } from '../base/random.ts';
import { labels } from '../codec/labels.ts';
import type { AppKeys } from '../keyring/app-keys.ts';
import type { AccessKeyRow, AccessKeyStore, AccessScope } from './access-key-store.ts';

/** Who calls. */
export interface Principal {
  readonly keyId: string;
  readonly scope: AccessScope;
  /** Null: every app of the store. */
  readonly app: AppId | null;
}

export interface NewAccessKey {
  readonly id: string;
  readonly secret: string;
  readonly scope: AccessScope;
}

/** Makes keys, and tells who calls with one. Failures: STATE_UNREACHABLE, VAULT_UNREACHABLE. */
export interface AccessKeys {
  /** Makes a key; its secret is in the answer and nowhere else in clear. */
  create(options: { app: AppId | null; scope: AccessScope; nowMs: number }): Promise<NewAccessKey>;
  /** The principal of an Authorization header, or undefined: unauthorised. */
  recognise(authorization: string | undefined): Promise<Principal | undefined>;
  /**
   * Ends a key for good, also where its row is gone: what opens the secret of one is elsewhere.
   * False: there is no such row, or it was revoked before.
   */
  revoke(key: Pick<AccessKeyRow, 'id' | 'app'>, nowMs: number): Promise<boolean>;
  /** Is what opens the secret of a key there? Its own row may say that it was revoked. */
  isOpen(key: Pick<AccessKeyRow, 'id' | 'app'>): Promise<boolean>;
}

/** An app has at most ten keys, as in the adopted interface. */
const KEYS_MAX = 10;
const ACCESS_ROW_KIND = 65;

/** Opens access keys over their store and the keyring. */
export function createAccessKeys(deps: {
  store: AccessKeyStore;
  keys: Pick<AppKeys, 'accessKey' | 'endAccessKey'>;
  randomness: Randomness;
  /** Are tokens taken that have no claim `exp`? */
  isEndlessTokenAllowed: boolean;
}): AccessKeys {
  const { store, keys, randomness, isEndlessTokenAllowed } = deps;

  /** Undefined: its key was destroyed, so it was revoked, whatever its row says. */
  async function secretOf(row: AccessKeyRow): Promise<Buffer | undefined> {
    const wrapping = await keys.accessKey(row.app ?? 'store', row.id);
    if (wrapping === undefined) return undefined;
    const plain = wrapping.unwrap(row.wrappedSecret, boundTo(row));
    if (plain === undefined) {
      throw new LetheError('VAULT_TAMPERED', 'the stored secret of an access key was changed');
    }
    return plain;
  }

  async function findLive(id: string): Promise<AccessKeyRow | undefined> {
    const row = await store.find(id);
    return row === undefined || row.revokedAtMs !== null ? undefined : row;
  }

  async function basic(encoded: string): Promise<Principal | undefined> {
    const text = Buffer.from(encoded, 'base64').toString('utf8');
    const colon = text.indexOf(':');
    if (colon < 0) return undefined;
    const row = await findLive(text.slice(0, colon));
    if (row === undefined) return undefined;
    const secret = await secretOf(row);
    if (secret === undefined) return undefined;
    if (!isEqual(Buffer.from(text.slice(colon + 1), 'utf8'), secret)) return undefined;
    return { keyId: row.id, scope: row.scope, app: row.app };
  }

  async function bearer(token: string): Promise<Principal | undefined> {
    try {
      const { kid } = decodeProtectedHeader(token);
      const row = kid === undefined ? undefined : await findLive(kid);
      if (row === undefined) return undefined;
      const secret = await secretOf(row);
      if (secret === undefined) return undefined;
      const { payload } = await jwtVerify(token, secret, {
        algorithms: ['HS256'],
        requiredClaims: isEndlessTokenAllowed ? [] : ['exp'],
      });
      if (payload.scope !== row.scope) return undefined;
      return { keyId: row.id, scope: row.scope, app: row.app };
    } catch (error) {
      if (error instanceof LetheError) throw error;
      return undefined;
    }
  }

  return {
    async create({ app, scope, nowMs }) {
      if ((await store.list(app)).filter((row) => row.revokedAtMs === null).length >= KEYS_MAX) {
        const advice = 'revoke one first (lethe keys revoke)';
        throw new LetheError('INPUT_INVALID', `there are ${KEYS_MAX} keys already: ${advice}`);
      }
      const prefix = scope === 'account' ? 'act' : scope === 'app' ? 'app' : 'int';
      const id = `${prefix}_${randomness.fill(Buffer.alloc(12)).toString('hex')}`;
      const secret = randomness.fill(Buffer.alloc(32)).toString('base64url');
      const wrapping = await keys.accessKey(app ?? 'store', id, 'make');
      const wrappedSecret = wrapping!.wrap(Buffer.from(secret), boundTo({ id, app, scope }));
      await store.add({ id, app, scope, wrappedSecret, createdAtMs: nowMs, revokedAtMs: null });
      return { id, secret, scope };
    },
    async revoke({ id, app }, nowMs) {
      // Its key first: what is destroyed nobody can write back into the row.
      await keys.endAccessKey(app ?? 'store', id);
      return store.revoke(id, nowMs);
    },
    isOpen: async ({ id, app }) => (await keys.accessKey(app ?? 'store', id)) !== undefined,
    async recognise(authorization) {
      const [scheme, value] = authorization?.split(' ', 2) ?? [];
      if (scheme === undefined || value === undefined) return undefined;
      if (scheme.toLowerCase() === 'basic') return basic(value);
      return scheme.toLowerCase() === 'bearer' ? bearer(value) : undefined;
    },
  };
}

function boundTo(row: Pick<AccessKeyRow, 'id' | 'app' | 'scope'>): Buffer {
  const kind = Buffer.from([1, ACCESS_ROW_KIND]);
  return Buffer.concat([labels.wrap, kind, lp(row.id), lp(row.app ?? ''), lp(row.scope)]);
}

// Hashing first makes lengths equal, so that the comparison takes the same time for all guesses.
function isEqual(a: Buffer, b: Buffer): boolean {
  const digest = (bytes: Buffer) => createHash('sha256').update(bytes).digest();
  return timingSafeEqual(digest(a), digest(b));
}
