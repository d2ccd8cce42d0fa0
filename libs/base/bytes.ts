/** Byte building blocks of the frozen formats: big endian, `lp(x)` = u32 length ‖ bytes. */

/** u32 length ‖ bytes; text as UTF-8. */
export function lp(part: string | Uint8Array): Buffer {
  const bytes = typeof part === 'string' ? Buffer.from(part, 'utf8') : part;
  const out = Buffer.allocUnsafe(4 + bytes.length);
  out.writeUInt32BE(bytes.length, 0);
  out.set(bytes, 4);
  return out;
}

const FIELD_BYTES = 4_096;

/** Writes a label and fields behind it, one after the other, into one buffer. */
export class FieldWriter {
  #buffer: Buffer;
  #at: number;

  constructor(label: Uint8Array) {
    this.#buffer = Buffer.allocUnsafe(label.length + 256);
    this.#buffer.set(label, 0);
    this.#at = label.length;
  }

  #room(bytes: number): void {
    if (this.#at + bytes <= this.#buffer.length) return;
    const larger = Buffer.allocUnsafe(this.#buffer.length + bytes + FIELD_BYTES);
    this.#buffer.copy(larger, 0, 0, this.#at);
    this.#buffer = larger;
  }

  u8(value: number): this {
    this.#room(1);
    this.#buffer[this.#at] = value;
    this.#at += 1;
    return this;
  }

  #length(bytes: number): void {
    this.#room(4 + bytes);
    this.#buffer.writeUInt32BE(bytes, this.#at);
    this.#at += 4;
  }

  lpU8(value: number): this {
    this.#length(1);
    return this.u8(value);
  }

  lpU64(value: number): this {
    this.#length(8);
    this.#buffer.writeUInt32BE(Math.floor(value / 2 ** 32), this.#at);
    this.#buffer.writeUInt32BE(value % 2 ** 32, this.#at + 4);
    this.#at += 8;
    return this;
  }

  /** Bytes given as hex text. */
  lpHex(text: string): this {
    this.#length(text.length / 2);
    this.#at += this.#buffer.write(text, this.#at, 'hex');
    return this;
  }

  take(): Buffer {
    return this.#buffer.subarray(0, this.#at);
  }
}
