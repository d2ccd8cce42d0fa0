/** Ids and keys of rows as engines store them: bytes, in programs: lower-case hex digits. */

/** The bytes of hex digits. */
export function hexToBytes(hex: string): Buffer {
  return Buffer.from(hex, 'hex');
}

/** The hex digits of bytes. */
export function bytesToHex(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('hex');
}
