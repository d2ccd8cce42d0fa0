/**
 * Wraps and unwraps the vault's rows. What a row says in clear is its associated data: kind, app,
 * id, version, wrapping key, state, holds, edges. No part can be changed or moved. A fence is
 * wrapped too: who can only write to the disk can neither make a fence nor make a row pass for one.
 */
import { FieldWriter } from '../../base/bytes.ts';
import type { KeyId, LossId } from '../../base/ids.ts';
import { isLetheError, LetheError } from '../../base/lethe-error.ts';
import { sha256 } from '../../codec/hash.ts';
import { labels } from '../../codec/labels.ts';
import type { WrappingKey } from '../../keyring/wrapping-key.ts';
import { FOLLOWED_KINDS, type RowKey, rowStates, type VaultRow } from './vault-store.ts';

const FORMAT = 1;
const EMPTY = Buffer.alloc(0);
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
  /** It loses something by this write, which has to be entered into the feed. */
  readonly loss?: LossId;
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
    owed: fields.loss ?? previous?.owed ?? null,
  };
  return { ...row, wrapped: key.wrap(plain, rowAssociatedData(row)) };
}

/** The durable mark that a row's content is gone: erasure id ‖ fingerprint, wrapped. */
export function fenceRow(row: VaultRow, by: LossId, key: WrappingKey): VaultRow {
  const fingerprint = sha256(row.wrapped);
  const fence = {
    ...row,
    version: row.version + 1,
    state: rowStates.erased,
    wrappingKey: key.id,
    ownKey: null,
    erasure: by,
    fingerprint,
    owed: FOLLOWED_KINDS.includes(row.kind) ? by : null,
  };
  const plain = fencePlain(fence);
  return { ...fence, wrapped: key.wrap(plain, rowAssociatedData(fence)) };
}

function fencePlain(row: Pick<VaultRow, 'erasure' | 'fingerprint'>): Buffer {
  return Buffer.concat([Buffer.from(row.erasure ?? '', 'hex'), row.fingerprint ?? EMPTY]);
}

/** The plain bytes of a row, or that it is a fence. Throws VAULT_TAMPERED. */
export function openRow(row: VaultRow, key: WrappingKey): Buffer | 'erased' {
  const plain = unwrapRow(row, key);
  if (row.state !== rowStates.erased) return plain;
  if (!plain.equals(fencePlain(row))) throw tampered(row);
  return 'erased';
}

/** Does a row authenticate under this key? */
export function isWrappedUnder(row: VaultRow, key: WrappingKey): boolean {
  const plain = key.unwrap(row.wrapped, rowAssociatedData(row));
  plain?.fill(0);
  return plain !== undefined;
}

/** The plain bytes of a row. Throws VAULT_TAMPERED when it does not authenticate. */
export function unwrapRow(row: VaultRow, key: WrappingKey): Buffer {
  const plain =
    row.wrappingKey === key.id ? key.unwrap(row.wrapped, rowAssociatedData(row)) : undefined;
  if (plain === undefined) throw tampered(row);
  return plain;
}

function tampered(row: VaultRow): LetheError {
  const name = `a row of the vault (kind ${row.kind}, id ${row.id})`;
  return new LetheError('VAULT_TAMPERED', `${name} does not authenticate`);
}

/** The same row under another key, its version raised; fences stay fences. */
export function rewrapRow(row: VaultRow, from: WrappingKey, to: WrappingKey): VaultRow {
  const plain = unwrapRow(row, from);
  const next = { ...row, version: row.version + 1, wrappingKey: to.id };
  const wrapped = to.wrap(plain, rowAssociatedData(next));
  plain.fill(0);
  return { ...next, wrapped };
}

/** The row under another key; undefined: it does not authenticate under this one. */
export function rewrapped(row: VaultRow, from: WrappingKey, to: WrappingKey): VaultRow | undefined {
  try {
    return rewrapRow(row, from, to);
  } catch (error) {
    if (isLetheError(error, 'VAULT_TAMPERED')) return undefined;
    throw error;
  }
}
