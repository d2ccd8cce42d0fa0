/**
 * SHA-256 (FIPS 180-4) over a work area that can be zeroed: key material of the trees never passes
 * through strings or through buffers that only the garbage collector clears. Messages are short
 * (three blocks at most); for everything else use node:crypto.
 */

// FIPS 180-4 section 4.2.2: fractional parts of the cube roots of the first 64 primes.
const ROUND = new Int32Array([
  0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5,
  0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174,
  0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da,
  0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967,
  0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85,
  0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070,
  0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3,
  0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2,
]);

const MESSAGE_BYTES_MAX = 3 * 64 - 9;
// Small arrays of V8 lie on its heap, which moves them and leaves copies behind.
const schedule = new Int32Array(new ArrayBuffer(64 * 4));
const state = new Int32Array(new ArrayBuffer(8 * 4));
const work = new Uint8Array(new ArrayBuffer(3 * 64));

/** The shared message area: write the message here, then call `digestWork`. */
export const workArea: Uint8Array = work;

/** The first 16 words of a block: write a padded block here, then call `digestWords`. */
export const blockWords: Int32Array = schedule;

/** The 8 words of the last digest. */
export const digestedWords: Int32Array = state;

/** Hashes one padded block of `blockWords` (a message of up to 55 bytes) into `digestedWords`. */
export function digestWords(): void {
  beginState();
  compress();
}

/** Hashes the first `length` bytes of the work area into `target` at `at` (32 bytes). */
export function digestWork(length: number, target: Uint8Array, at: number): void {
  if (length > MESSAGE_BYTES_MAX) throw new RangeError('message too long for the work area');
  const end = ((length + 9 + 63) >> 6) << 6;
  work[length] = 0x80;
  work.fill(0, length + 1, end);
  const bits = length << 3;
  work[end - 2] = bits >>> 8;
  work[end - 1] = bits;
  beginState();
  for (let offset = 0; offset < end; offset += 64) {
    for (let i = 0; i < 16; i += 1) {
      const p = offset + i * 4;
      schedule[i] = (work[p]! << 24) | (work[p + 1]! << 16) | (work[p + 2]! << 8) | work[p + 3]!;
    }
    compress();
  }
  writeDigest(target, at);
}

/** Writes the words of the last digest as 32 bytes. */
export function writeDigest(target: Uint8Array, at: number): void {
  for (let i = 0; i < 8; i += 1) {
    const word = state[i]!;
    const to = at + i * 4;
    target[to] = word >>> 24;
    target[to + 1] = word >>> 16;
    target[to + 2] = word >>> 8;
    target[to + 3] = word;
  }
}

/** Zeroes everything a digest left behind. */
export function wipeWork(): void {
  work.fill(0);
  schedule.fill(0);
  state.fill(0);
}

// FIPS 180-4 section 5.3.3
function beginState(): void {
  state[0] = 0x6a09e667;
  state[1] = 0xbb67ae85;
  state[2] = 0x3c6ef372;
  state[3] = 0xa54ff53a;
  state[4] = 0x510e527f;
  state[5] = 0x9b05688c;
  state[6] = 0x1f83d9ab;
  state[7] = 0x5be0cd19;
}

// FIPS 180-4 section 6.2.2; rotations are written out because calls cost more than they save.
function compress(): void {
  const w = schedule;
  const k = ROUND;
  for (let i = 16; i < 64; i += 1) {
    const x = w[i - 15]!;
    const y = w[i - 2]!;
    const s0 = ((x >>> 7) | (x << 25)) ^ ((x >>> 18) | (x << 14)) ^ (x >>> 3);
    const s1 = ((y >>> 17) | (y << 15)) ^ ((y >>> 19) | (y << 13)) ^ (y >>> 10);
    w[i] = (w[i - 16]! + s0 + w[i - 7]! + s1) | 0;
  }
  let a = state[0]!;
  let b = state[1]!;
  let c = state[2]!;
  let d = state[3]!;
  let e = state[4]!;
  let f = state[5]!;
  let g = state[6]!;
  let h = state[7]!;
  for (let i = 0; i < 64; i += 1) {
    const s1 = ((e >>> 6) | (e << 26)) ^ ((e >>> 11) | (e << 21)) ^ ((e >>> 25) | (e << 7));
    const t1 = (h + s1 + (g ^ (e & (f ^ g))) + k[i]! + w[i]!) | 0;
    const s0 = ((a >>> 2) | (a << 30)) ^ ((a >>> 13) | (a << 19)) ^ ((a >>> 22) | (a << 10));
    const t2 = (s0 + ((a & b) | (c & (a | b)))) | 0;
    h = g;
    g = f;
    f = e;
    e = (d + t1) | 0;
    d = c;
    c = b;
    b = a;
    a = (t1 + t2) | 0;
  }
  state[0] = (state[0]! + a) | 0;
  state[1] = (state[1]! + b) | 0;
  state[2] = (state[2]! + c) | 0;
  state[3] = (state[3]! + d) | 0;
  state[4] = (state[4]! + e) | 0;
  state[5] = (state[5]! + f) | 0;
  state[6] = (state[6]! + g) | 0;
  state[7] = (state[7]! + h) | 0;
}
