import { randomBytes } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import type { BlobStore } from '../../libs/blobs/blob-store.ts';
import { temporaryFolder } from '../support/temporary-store.ts';
import { adapters } from './adapters.ts';

const MEGABYTE = 1024 * 1024;
const id = (byte: number) => byte.toString(16).padStart(2, '0').repeat(16);
const key = (n: number, app = 1) => ({ app: id(app), blob: id(n) });

async function* inChunks(bytes: Buffer, size = 64 * 1024) {
  for (let at = 0; at < bytes.length; at += size) yield bytes.subarray(at, at + size);
}

async function read(store: BlobStore, ...at: Parameters<BlobStore['get']>) {
  const chunks = await store.get(...at);
  return chunks && Buffer.concat(await Array.fromAsync(chunks));
}

async function listed(store: BlobStore, app: number) {
  return (await Array.fromAsync(store.list(id(app)))).sort();
}

describe.each(adapters.blobs)('blob store %s', (_, open) => {
  it('gives a blob back byte for byte, whole and in parts', async () => {
    const store = await open(temporaryFolder());
    // Larger than one part of an upload in parts.
    const bytes = randomBytes(12 * MEGABYTE + 7);
    await store.put(key(1), inChunks(bytes));
    expect(await store.size(key(1))).toBe(bytes.length);
    expect((await read(store, key(1)))!.equals(bytes)).toBe(true);
    const part = { start: 5 * MEGABYTE - 3, end: 6 * MEGABYTE };
    const expected = bytes.subarray(part.start, part.end);
    expect((await read(store, key(1), part))!.equals(expected)).toBe(true);
    expect(await read(store, key(1), { start: 5, end: 5 })).toHaveLength(0);
  });

  it('keeps an empty blob', async () => {
    const store = await open(temporaryFolder());
    await store.put(key(1), inChunks(Buffer.alloc(0)));
    expect(await store.size(key(1))).toBe(0);
    expect(await read(store, key(1))).toHaveLength(0);
  });

  it('leaves a blob that is there as it is', async () => {
    const store = await open(temporaryFolder());
    await store.put(key(1), inChunks(Buffer.from('first')));
    await store.put(key(1), inChunks(Buffer.from('second')));
    expect((await read(store, key(1)))!.toString()).toBe('first');
  });

  it('leaves nothing when the chunks fail, and tells their error', async () => {
    const store = await open(temporaryFolder());
    async function* failing() {
      yield randomBytes(6 * MEGABYTE);
      throw new Error('the sender went away');
    }
    await expect(store.put(key(1), failing())).rejects.toThrow('the sender went away');
    expect(await store.size(key(1))).toBeUndefined();
    expect(await listed(store, 1)).toEqual([]);
  });

  it('removes blobs, again too, lists what is left of one app, and knows what is not there', async () => {
    const store = await open(temporaryFolder());
    for (const one of [key(1), key(2), key(3), key(1, 2)]) {
      await store.put(one, inChunks(Buffer.from('bytes')));
    }
    expect(await listed(store, 1)).toEqual([id(1), id(2), id(3)]);
    await store.remove([key(1), key(3)]);
    await store.remove([key(1), key(9)]);
    expect(await listed(store, 1)).toEqual([id(2)]);
    expect(await listed(store, 2)).toEqual([id(1)]);
    expect(await listed(store, 7)).toEqual([]);
    expect(await read(store, key(1))).toBeUndefined();
    expect(await store.size(key(9))).toBeUndefined();
  });
});
