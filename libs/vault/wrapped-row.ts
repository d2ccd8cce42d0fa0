/**
 * Wraps and unwraps the vault's rows. What a row says in clear (kind, app, id, version, wrapping
 * key, state, holds, edges) is its associated data, so that no part can be changed or moved.
 */
import { FieldWriter } from '../base/bytes.ts';
import type { KeyId } from '../base/ids.ts';
import { LetheError } from '../base/lethe-error.ts';
import { labels } from '../codec/labels.ts';
import type { WrappingKey } from '../keyring/wrapping-key.ts';
import { type RowKey, rowStates, type VaultRow } from './vault-store.ts';

const FORMAT = 1;
type ClearPart = Pick<
  VaultRow,
  'kind' | 'app' | 'id' | 'version' | 'wrappingKey' | 'state' | 'holds' | 'edges'
>;

/** label ‖ format ‖ lp of kind, app, id, version, wrapping key, state, holds, edges. */
export function rowAssociatedData(row: ClearPart): Buffer {
  const out = new FieldWriter(labels.wrap);
  out.u8(FORMAT).lpU8(row.kind).lpHex(row.app).lpHex(row.id).lpU64(row.version);
  out.lpHex(row.wrappingKey).lpU8(row.state);
  return out
    .lpHex([...row.holds].sort().join(''))
    .lpHex([...row.edges].sort().join(''))
    .take();
}

/** What a written row holds besides its plain bytes; everything else starts empty. */
export interface RowFields {
  readonly key: RowKey;
  /** The row that is replaced, if any: its version is raised, its holds and edges are kept. */
  readonly previous?: VaultRow;
  readonly ownKey?: KeyId;
}

/** An active row with these plain bytes, wrapped under `key`. */
export function wrapRow(fields: RowFields, plain: Uint8Array, key: WrappingKey): VaultRow {
  const { previous } = fields;
  const row = {
    ...fields.key,
    version: (previous?.version ?? 0) + 1,
    state: previous?.state ?? rowStates.active,
    wrappingKey: key.id,
    ownKey: fields.ownKey ?? null,
    holds: previous?.holds ?? [],
    edges: previous?.edges ?? [],
    erasure: null,
    fingerprint: null,
  };
  return { ...row, wrapped: key.wrap(plain, rowAssociatedData(row)) };
}

/** The plain bytes of a row. Throws VAULT_TAMPERED when it does not authenticate. */
export function unwrapRow(row: VaultRow, key: WrappingKey): Buffer {
  const plain =
    row.wrapped === null || row.wrappingKey !== key.id
      ? undefined
      : key.unwrap(row.wrapped, rowAssociatedData(row));
  if (plain === undefined) {
    throw new LetheError(
      'VAULT_TAMPERED',
      `a row of the vault (kind ${row.kind}, id ${row.id}) does not authenticate`,
    );
  }
  return plain;
}
