/**
 * CRC-64-AVRO, the Rabin fingerprint of the Avro specification ("Schema Fingerprints"), over the
 * schema's Parsing Canonical Form.
 */

const EMPTY = 0xc15d213aa4d7a795n;
const MASK = 0xffffffffffffffffn;

const table: readonly bigint[] = Array.from({ length: 256 }, (_, i) => {
  let fingerprint = BigInt(i);
  for (let bit = 0; bit < 8; bit += 1) {
    fingerprint = (fingerprint >> 1n) ^ (fingerprint & 1n ? EMPTY : 0n);
  }
  return fingerprint;
});

/** The fingerprint of the bytes, as an unsigned 64-bit number. */
export function crc64Avro(bytes: Uint8Array): bigint {
  let fingerprint = EMPTY;
  for (const byte of bytes) {
    fingerprint =
      ((fingerprint >> 8n) ^ table[Number((fingerprint ^ BigInt(byte)) & 0xffn)]!) & MASK;
  }
  return fingerprint;
}

/** The fingerprint's 8 bytes in little endian, as single-object encoding writes them. */
export function fingerprintBytes(canonicalSchema: string): Buffer {
  const out = Buffer.allocUnsafe(8);
  out.writeBigUInt64LE(crc64Avro(Buffer.from(canonicalSchema, 'utf8')), 0);
  return out;
}
