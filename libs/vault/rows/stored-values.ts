/**
 * The values of a row as an engine gives them, whoever wrote them. One of a type or length that is
 * never written reads as one that no row is wrapped with. Such a row does not authenticate, and is
 * named like any that is damaged; it stops nobody who reads others.
 */
import { type KeyId, type LossId, NO_ID } from '../../base/ids.ts';
import type { RowKey, RowState, VaultRow } from './vault-store.ts';

const EMPTY = Buffer.alloc(0);
const ID_BYTES = 16;

/** What a row says besides its name, as any engine may give it. */
export interface StoredFields {
  readonly version: unknown;
  readonly state: unknown;
  readonly wrapping_key: unknown;
  readonly own_key: unknown;
  readonly holds: unknown;
  readonly edges: unknown;
  readonly wrapped: unknown;
  readonly erasure: unknown;
  readonly fingerprint: unknown;
  readonly owed: unknown;
}

/** A row as the port has it, whoever wrote it. */
export function storedRow(name: RowKey, row: StoredFields): VaultRow {
  return {
    ...name,
    version: storedNumber(row.version),
    state: storedNumber(row.state) as RowState,
    wrappingKey: storedId<KeyId>(row.wrapping_key),
    ownKey: storedIdOrNull<KeyId>(row.own_key),
    holds: storedIds(row.holds),
    edges: storedIds(row.edges),
    wrapped: storedBytes(row.wrapped),
    erasure: storedIdOrNull<LossId>(row.erasure),
    fingerprint: row.fingerprint === null ? null : storedBytes(row.fingerprint),
    owed: storedIdOrNull<LossId>(row.owed),
  };
}

/** Bytes; empty where there are none. */
export function storedBytes(value: unknown): Buffer {
  if (!(value instanceof Uint8Array)) return EMPTY;
  return Buffer.from(value.buffer, value.byteOffset, value.byteLength);
}

/** An id of 16 bytes as hex; NO_ID where it is none. */
export function storedId<Id extends string>(value: unknown): Id {
  const bytes = storedBytes(value);
  return (bytes.length === ID_BYTES ? bytes.toString('hex') : NO_ID) as Id;
}

/** As `storedId`; null stays null. */
function storedIdOrNull<Id extends string>(value: unknown): Id | null {
  return value === null || value === undefined ? null : storedId<Id>(value);
}

/** Ids side by side. */
function storedIds(value: unknown): string[] {
  return storedBytes(value).toString('hex').match(/.{32}/g) ?? [];
}

/** A whole number from 0; 0 where it is none, which no version and no state is. */
export function storedNumber(value: unknown): number {
  const number = Number(value);
  return Number.isSafeInteger(number) && number >= 0 ? number : 0;
}
