import { randomBytes } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { PAGE_BYTES_MAX } from '../../libs/views/cache/view-cache.ts';
import { temporaryFolder } from '../support/temporary-store.ts';
import { adapters } from './adapters.ts';

const key = (conversation: string, version = '1.7', page = '..100') => {
  return { app: 'a1', conversation, version, page };
};

describe.each(adapters.cache)('view cache %s', (_, open) => {
  it('gives a page back byte for byte, under its own name and version only', async () => {
    const cache = await open(temporaryFolder());
    const page = randomBytes(100_000);
    await cache.put(key('c1'), page);
    expect((await cache.get(key('c1')))?.equals(page)).toBe(true);
    for (const other of [key('c1', '1.8'), key('c1', '1.7', '..50'), key('c2')]) {
      expect(await cache.get(other)).toBeUndefined();
    }
    expect(await cache.get({ ...key('c1'), app: 'a2' })).toBeUndefined();
  });

  it('keeps a newer version in place of an older one', async () => {
    const cache = await open(temporaryFolder());
    await cache.put(key('c1'), Buffer.from('old'));
    await cache.put(key('c1', '1.8'), Buffer.from('new'));
    expect(await cache.get(key('c1'))).toBeUndefined();
    expect((await cache.get(key('c1', '1.8')))?.toString()).toBe('new');
  });

  it('drops the pages of conversations, or of an app, and no others', async () => {
    const cache = await open(temporaryFolder());
    const all = ['c1', 'c2', 'c3'].map((one) => key(one));
    const elsewhere = { ...key('c1'), app: 'a2' };
    for (const one of [...all, elsewhere]) await cache.put(one, Buffer.from('page'));
    await cache.drop('a1', ['c1', 'c3']);
    expect(await Promise.all(all.map(async (one) => !!(await cache.get(one))))).toEqual([
      false,
      true,
      false,
    ]);
    await cache.drop('a1', 'all');
    expect(await cache.get(all[1]!)).toBeUndefined();
    expect(await cache.get(elsewhere)).toBeDefined();
  });

  it('does not keep what is too large, and goes on when very much is put there', async () => {
    const cache = await open(temporaryFolder());
    await cache.put(key('large'), Buffer.alloc(PAGE_BYTES_MAX + 1));
    expect(await cache.get(key('large'))).toBeUndefined();
    const page = randomBytes(50_000);
    for (let i = 0; i < 200; i += 1) await cache.put(key('c1', '1.7', `page ${i}`), page);
    // A cache that once answered late is let rest for a second, and keeps nothing meanwhile.
    const kept = async () => {
      await cache.put(key('c2'), page);
      return (await cache.get(key('c2')))?.equals(page);
    };
    await expect.poll(kept, { timeout: 5_000 }).toBe(true);
  });
});
