/**
 * Avro records by name. Every schema ever written lies in `schemas/`; a record is read with the
 * writer's schema, found by its fingerprint, and resolved to today's. Ids (fixed 16), recording
 * times and fingerprints (fixed 8) appear as hex text.
 */
import { readdirSync, readFileSync } from 'node:fs';
import avro from 'avsc';
import { LetheError } from '../base/lethe-error.ts';
import { fingerprintBytes } from './crc64-avro.ts';
import { type AvroSchema, parsingCanonicalForm } from './parsing-canonical-form.ts';

const SCHEMA_FOLDER = new URL('../../schemas/', import.meta.url);

class HexType extends avro.types.LogicalType {
  protected override _fromValue(bytes: Buffer): string {
    return bytes.toString('hex');
  }
  // Unions try each branch: what is no text must be refused without the cost of an exception.
  protected override _toValue(hex: unknown): Buffer | undefined {
    return typeof hex === 'string' ? Buffer.from(hex, 'hex') : undefined;
  }
  // A writer's value is hex already. Without this no older schema with an id could be read.
  protected override _resolve(type: avro.Type): unknown {
    const isSame = type instanceof HexType && sizeOf(type) === sizeOf(this);
    return isSame ? (hex: string) => hex : undefined;
  }
}

function sizeOf(type: HexType): number {
  return (type.underlyingType as avro.types.FixedType).size;
}

interface SchemaFile {
  readonly file: string;
  readonly name: string;
  readonly version: number;
  readonly type: avro.Type;
  readonly fingerprint: Buffer;
}

function readSchemas(): Map<string, SchemaFile[]> {
  const byName = new Map<string, SchemaFile[]>();
  for (const file of readdirSync(SCHEMA_FOLDER).filter((name) => name.endsWith('.avsc'))) {
    const schema = JSON.parse(readFileSync(new URL(file, SCHEMA_FOLDER), 'utf8')) as AvroSchema;
    const type = avro.Type.forSchema(schema as avro.Schema, { logicalTypes: { hex: HexType } });
    const name = (type.name ?? '').replace(/^lethe\./, '');
    const version = Number(/\.v(\d+)\.avsc$/.exec(file)?.[1]);
    const fingerprint = fingerprintBytes(parsingCanonicalForm(schema));
    byName.set(name, [...(byName.get(name) ?? []), { file, name, version, type, fingerprint }]);
  }
  for (const versions of byName.values()) versions.sort((a, b) => b.version - a.version);
  return byName;
}

const schemas = readSchemas();
const byFingerprint = new Map(
  [...schemas.values()].flat().map((file) => [file.fingerprint.toString('hex'), file]),
);

/** Encodes and decodes one kind of record. */
export interface RecordCodec<Value> {
  readonly name: string;
  /** Fingerprint of the schema that is written today: 16 hex digits, little-endian bytes. */
  readonly fingerprint: string;
  /** Avro binary, without a fingerprint. */
  encode(value: Value): Buffer;
  /** Reads Avro binary that was written under `fingerprint`. Throws FORMAT_UNKNOWN if unknown. */
  decode(bytes: Buffer, fingerprint: string): Value;
  /** fingerprint ‖ Avro binary. */
  encodeTagged(value: Value): Buffer;
  decodeTagged(bytes: Buffer): Value;
  /** Single-object encoding: C3 01 ‖ fingerprint ‖ Avro binary. */
  encodeSingleObject(value: Value): Buffer;
  decodeSingleObject(bytes: Buffer): Value;
}

/** The codec of the record with this name; the newest version writes, all versions are read. */
export function recordCodec<Value>(name: string): RecordCodec<Value> {
  const newest = schemas.get(name)?.[0];
  if (newest === undefined) throw new LetheError('INVARIANT_BROKEN', `no schema named ${name}`);
  const { type, fingerprint } = newest;
  const ownHex = fingerprint.toString('hex');
  const resolvers = new Map<string, ReturnType<avro.Type['createResolver']>>();

  function decodeBinary(bytes: Buffer, at: number, writer: string): Value {
    if (writer !== ownHex && !resolvers.has(writer)) {
      const file = byFingerprint.get(writer);
      if (file?.name !== name) {
        throw new LetheError('FORMAT_UNKNOWN', `unknown writer schema for record ${name}`);
      }
      resolvers.set(writer, type.createResolver(file.type));
    }
    try {
      const { value, offset } = type.decode(bytes, at, resolvers.get(writer));
      if (offset === bytes.length) return value as Value;
    } catch (cause) {
      throw new LetheError('FORMAT_UNKNOWN', `record ${name} cannot be decoded`, { cause });
    }
    throw new LetheError('FORMAT_UNKNOWN', `record ${name} is too short or too long`);
  }

  const encode = (value: Value) => encodeWith(type, value);
  const encodeTagged = (value: Value) => Buffer.concat([fingerprint, encode(value)]);
  const decodeTagged = (bytes: Buffer) => decodeBinary(bytes, 8, bytes.toString('hex', 0, 8));
  return {
    name,
    fingerprint: ownHex,
    encode,
    decode: (bytes, writer) => decodeBinary(bytes, 0, writer),
    encodeTagged,
    decodeTagged,
    encodeSingleObject: (value) => Buffer.concat([SINGLE_OBJECT, encodeTagged(value)]),
    decodeSingleObject(bytes) {
      if (bytes[0] !== 0xc3 || bytes[1] !== 0x01) {
        throw new LetheError('FORMAT_UNKNOWN', `record ${name} has no single-object marker`);
      }
      return decodeTagged(bytes.subarray(2));
    },
  };
}

// `Type.toBuffer` costs five times as much as encoding into a buffer that is there already.
let scratch = Buffer.allocUnsafe(65_536);

function encodeWith(type: avro.Type, value: unknown): Buffer {
  for (;;) {
    const end = type.encode(value, scratch, 0);
    if (end >= 0) return Buffer.from(scratch.subarray(0, end));
    scratch = Buffer.allocUnsafe(scratch.length - end + 4096);
  }
}

/** The marker of Avro single-object encoding, version 1. */
export const SINGLE_OBJECT = Buffer.from([0xc3, 0x01]);

/** Was a schema with this fingerprint (hex) ever written? */
export function isKnownSchema(fingerprint: string): boolean {
  return byFingerprint.has(fingerprint);
}
