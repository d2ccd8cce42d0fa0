/**
 * Port: where access keys lie. Secrets are stored wrapped; a revoked key stays as a row.
 *
 * Failures of every method: STATE_UNREACHABLE (retryable), STORE_FULL.
 */
import type { AppId } from '../base/ids.ts';

/** What a key reaches: one app by its channels, one app, or every app of the store. */
export const accessScopes = ['integration', 'app', 'account'] as const;
/** What a key may reach: an app's conversations, the app itself, or all apps of the store. */
export type AccessScope = (typeof accessScopes)[number];

export interface AccessKeyRow {
  readonly id: string;
  /** Null for the account scope. */
  readonly app: AppId | null;
  readonly scope: AccessScope;
  readonly wrappedSecret: Buffer;
  readonly createdAtMs: number;
  readonly revokedAtMs: number | null;
}

/** Keys as they are kept: their secrets wrapped. Failures: STATE_UNREACHABLE, STORE_FULL. */
export interface AccessKeyStore {
  add(row: AccessKeyRow): Promise<void>;
  find(id: string): Promise<AccessKeyRow | undefined>;
  /** Keys of an app, or (null) of the account scope; oldest first. */
  list(app: AppId | null): Promise<AccessKeyRow[]>;
  /** False: no such key, or revoked already. */
  revoke(id: string, nowMs: number): Promise<boolean>;
  /** Removes the keys of an erased app. */
  removeAll(app: AppId): Promise<void>;
  /** All keys there are, for a copy to another engine. */
  all(): AsyncIterable<AccessKeyRow>;
}
