/**
 * Memory for key material. It lies outside of the heap of V8, which moves what is small and leaves
 * copies behind: `fill(0)` misses those. Here the bytes lie in one place, until they are zeroed
 * there. Take what holds a seed, a leaf or a key from here, and wipe it when it is done with.
 */

/** Zeroed bytes for a secret. */
export function secretBytes(length: number): Buffer {
  return Buffer.from(new ArrayBuffer(length));
}

/** A secret's bytes once more; whoever asks wipes both. */
export function secretCopy(bytes: Uint8Array): Buffer {
  const copy = secretBytes(bytes.length);
  copy.set(bytes);
  return copy;
}

/** Parts of secrets as one; the parts stay. */
export function secretConcat(parts: readonly Uint8Array[]): Buffer {
  const whole = secretBytes(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    whole.set(part, at);
    at += part.length;
  }
  return whole;
}
