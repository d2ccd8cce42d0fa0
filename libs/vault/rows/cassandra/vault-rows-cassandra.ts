/** Rows of the vault as Cassandra has them, and the statements that write them. */

import { hexToBytes } from '../../../base/hex.ts';
import type { AppId, KeyId, LossId } from '../../../base/ids.ts';
import type { CqlStatement } from '../../../engines/cassandra-database.ts';
import { type StoredFields, storedRow } from '../stored-values.ts';
import type { Removal, RowKey, RowKind, VaultRow } from '../vault-store.ts';

/** Finds one row by its key. */
export const WHERE_ROW = 'WHERE app = ? AND bucket = ? AND kind = ? AND id = ?';
/** What a row has beside its key, in the order of `rowValues`. */
export const ROW_COLUMNS = [
  'version',
  'state',
  'wrapping_key',
  'own_key',
  'holds',
  'edges',
  'wrapped',
  'erasure',
  'fingerprint',
  'owed',
] as const;
/** Sets all of them. */
export const SET_COLUMNS = ROW_COLUMNS.map((column) => `${column} = ?`).join();
const INSERT = `INSERT INTO vault_rows (app, bucket, kind, id, ${ROW_COLUMNS.join()})
  VALUES (?, ?, ?, ?, ${ROW_COLUMNS.map(() => '?').join()}) IF NOT EXISTS`;
const UPDATE = `UPDATE vault_rows SET ${SET_COLUMNS} ${WHERE_ROW} IF version = ?`;
const REMOVE = `DELETE FROM vault_rows ${WHERE_ROW} IF version = ?`;
const REMOVE_KEY = `${REMOVE} AND own_key = ?`;
const GUARD = `UPDATE vault_rows SET own_key = ? ${WHERE_ROW} IF own_key = ?`;
const ENTERED = `UPDATE vault_rows SET owed = null ${WHERE_ROW} IF owed = ?`;

export const READ_ROW = `SELECT * FROM vault_rows ${WHERE_ROW}`;
export const READ_VERSION = `SELECT version, state FROM vault_rows ${WHERE_ROW}`;

/** A row as the driver gives it. */
export interface StoredVaultRow extends StoredFields {
  readonly app: Buffer;
  readonly bucket: number;
  readonly kind: number;
  readonly id: Buffer;
  readonly own_key: Buffer | null;
  readonly wrapped: Buffer | null;
}

const optionalBytes = (hex: string | null) => (hex === null ? null : hexToBytes(hex));

/** The values that name a row, in the order of the primary key. */
export function keyParams({ app, bucket, kind, id }: RowKey): unknown[] {
  return [hexToBytes(app), bucket, kind, hexToBytes(id)];
}

/** What a row has beside its key, in the order of `ROW_COLUMNS`. */
export function rowValues(row: VaultRow): unknown[] {
  return [
    row.version,
    row.state,
    hexToBytes(row.wrappingKey),
    optionalBytes(row.ownKey),
    hexToBytes(row.holds.join('')),
    hexToBytes(row.edges.join('')),
    row.wrapped,
    optionalBytes(row.erasure),
    row.fingerprint,
    optionalBytes(row.owed),
  ];
}

/** Version 1 inserts only if absent; N replaces only version N - 1, or what is said. */
export function putStatement(row: VaultRow, odd?: { readonly version: unknown }): CqlStatement {
  const values = rowValues(row);
  if (row.version === 1 && odd === undefined) {
    return { query: INSERT, params: [...keyParams(row), ...values] };
  }
  const version = odd === undefined ? row.version - 1 : odd.version;
  return { query: UPDATE, params: [...values, ...keyParams(row), version] };
}

/** Removes a row if it is still of this version. */
export function removalStatement(row: Removal): CqlStatement {
  // One that nobody made may have none.
  const params = [...keyParams(row), row.version === 0 ? null : row.version];
  if (row.ownKey == null) return { query: REMOVE, params };
  return { query: REMOVE_KEY, params: [...params, hexToBytes(row.ownKey)] };
}

/** Writes nothing new, and fails when the row holds another key. */
export function guardStatement(key: RowKey, ownKey: KeyId): CqlStatement {
  return { query: GUARD, params: [hexToBytes(ownKey), ...keyParams(key), hexToBytes(ownKey)] };
}

export function enteredStatement(key: RowKey, loss: LossId): CqlStatement {
  return { query: ENTERED, params: [...keyParams(key), hexToBytes(loss)] };
}

/** A row as the port has it, whoever wrote it. */
export function toVaultRow(row: StoredVaultRow): VaultRow {
  const [app, id] = [row.app, row.id].map((name) => name.toString('hex')) as [AppId, string];
  return storedRow({ app, bucket: row.bucket, kind: row.kind as RowKind, id }, row);
}
