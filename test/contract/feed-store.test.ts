import { describe, expect, it } from 'vitest';
import { temporaryFolder } from '../support/temporary-store.ts';
import { adapters } from './adapters.ts';

const id = (byte: number) => byte.toString(16).padStart(2, '0').repeat(16) as never;

const entry = (number: number, rows = 1) => ({
  number,
  erasure: id(number),
  rows: Array.from({ length: rows }, (_, i) => ({ app: id(1), kind: 12 as const, id: id(i) })),
});

describe.each(adapters.feed)('feed %s', (_, open) => {
  it('numbers entries without gaps: of two writers of one number one wins, across processes', async () => {
    const folder = temporaryFolder();
    const [one, other] = [await open(folder), await open(folder)];
    const { incarnation, number } = await one.head();
    expect(number).toBe(0);
    expect(await one.append(entry(2))).toBe(false);
    const both = await Promise.all([one.append(entry(1)), other.append(entry(1, 3))]);
    expect(both.filter((done) => done).length).toBe(1);
    expect(await other.append(entry(1))).toBe(false);
    expect(await other.append(entry(2, 3))).toBe(true);
    expect(await one.head()).toEqual({ incarnation, number: 2 });
    expect((await other.head()).incarnation).toBe(incarnation);
    expect(await one.entries(1, 10)).toEqual([entry(2, 3)]);
    expect((await one.entries(0, 1)).map((found) => found.number)).toEqual([1]);
  });

  it('drops what everybody has heard, and goes on numbering', async () => {
    const folder = temporaryFolder();
    const feed = await open(folder);
    for (const number of [1, 2, 3]) await feed.append(entry(number));
    await feed.prune(3);
    expect((await (await open(folder)).entries(0, 10)).map((one) => one.number)).toEqual([3]);
    await feed.prune(9);
    expect((await feed.head()).number).toBe(3);
    expect(await feed.append(entry(4))).toBe(true);
  });

  it('tells where holders answer, until they are gone', async () => {
    const feed = await open(temporaryFolder());
    await feed.register({ id: 'a', leaseMs: 5_000, acknowledged: 0 });
    expect((await feed.holder('a'))!.door).toBeNull();
    await feed.announce('a', 'http://127.0.0.1:1');
    expect((await feed.holders()).map((holder) => holder.door)).toEqual(['http://127.0.0.1:1']);
    await feed.remove('a');
    await feed.register({ id: 'a', leaseMs: 5_000, acknowledged: 0 });
    expect((await feed.holder('a'))!.door).toBeNull();
  });

  it('keeps holders: one that was struck off acknowledges nothing any more', async () => {
    const folder = temporaryFolder();
    const [one, other] = [await open(folder), await open(folder)];
    await one.register({ id: 'a', leaseMs: 5_000, acknowledged: 3 });
    await other.register({ id: 'b', leaseMs: 9_000, acknowledged: 3 });
    await one.acknowledge('a', 7);
    await one.acknowledge('a', 5);
    expect(await other.holder('a')).toMatchObject({ acknowledged: 7, struckAtMs: null });
    await other.strike('a', 100);
    await other.strike('a', 200);
    await one.acknowledge('a', 9);
    expect(await one.holder('a')).toMatchObject({ acknowledged: 7, struckAtMs: 100 });
    expect((await one.holders()).map((holder) => holder.id).sort()).toEqual(['a', 'b']);
    await one.remove('a');
    expect(await other.holder('a')).toBeUndefined();
    await other.acknowledge('a', 9);
    expect((await other.holders()).map((holder) => holder.id)).toEqual(['b']);
  });
});
