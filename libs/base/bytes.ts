/** Byte building blocks of the frozen formats: big endian, `lp(x)` = u32 length ‖ bytes. */

/** u32 length ‖ bytes; text as UTF-8. */
export function lp(part: string | Uint8Array): Buffer {
  const bytes = typeof part === 'string' ? Buffer.from(part, 'utf8') : part;
  const out = Buffer.allocUnsafe(4 + bytes.length);
  out.writeUInt32BE(bytes.length, 0);
  out.set(bytes, 4);
  return out;
}

/** One byte. */
export function u8(value: number): Buffer {
  return Buffer.from([value]);
}

/** Eight bytes, big endian. */
export function u64(value: number): Buffer {
  const out = Buffer.allocUnsafe(8);
  out.writeBigUInt64BE(BigInt(value), 0);
  return out;
}
