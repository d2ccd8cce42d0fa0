import { describe, expect, it } from 'vitest';
import { temporaryFolder } from '../support/temporary-store.ts';
import { adapters } from './adapters.ts';

const id = (byte: number) => byte.toString(16).padStart(2, '0').repeat(16) as never;

const entry = (number: number, rows = 1) => ({
  number,
  erasure: id(number),
  code: `code ${number} ${rows}`,
  rows: Array.from({ length: rows }, (_, i) => ({ app: id(1), kind: 12 as const, id: id(i) })),
});

const holder = (name: string, acknowledged: number) => {
  const codes = { entryCode: `entry ${acknowledged}`, code: `code ${name} ${acknowledged}` };
  return { id: name, acknowledged, ...codes };
};

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
    expect(await one.head()).toEqual({ incarnation, number: 2, code: entry(2, 3).code });
    expect((await other.head()).incarnation).toBe(incarnation);
    expect(await one.entries(1, 10)).toEqual([entry(2, 3)]);
    const everything = { ...entry(3), rows: 'everything' as const };
    expect(await one.append(everything)).toBe(true);
    expect(await other.entries(2, 10)).toEqual([everything]);
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

  it('keeps how far each holder has come and where it answers, until it is gone', async () => {
    const folder = temporaryFolder();
    const [one, other] = [await open(folder), await open(folder)];
    await one.addHolder(holder('a', 3));
    await other.addHolder(holder('b', 3));
    await one.announce('a', 'http://127.0.0.1:1');
    await one.acknowledge(holder('a', 7));
    await one.acknowledge(holder('nobody', 7));
    await one.announce('nobody', 'http://127.0.0.1:2');
    const found = (await other.holders()).sort((x, y) => x.id.localeCompare(y.id));
    expect(found).toEqual([
      { ...holder('a', 7), door: 'http://127.0.0.1:1' },
      { ...holder('b', 3), door: null },
    ]);
    await one.removeHolder('a');
    await other.acknowledge(holder('a', 9));
    expect((await other.holders()).map(({ id: name }) => name)).toEqual(['b']);
    await one.addHolder(holder('a', 1));
    expect((await one.holders()).find(({ id: name }) => name === 'a')!.door).toBeNull();
  });

  it('has one roster: of two that take the place of the same one, one does, across processes', async () => {
    const folder = temporaryFolder();
    const [one, other] = [await open(folder), await open(folder)];
    expect(await one.roster()).toBeUndefined();
    const rosters = ['a', 'b'].map((text) => ({ text, code: `code of ${text}` }));
    const first = await Promise.all(rosters.map((roster) => one.replaceRoster(undefined, roster)));
    expect(first.filter((done) => done).length).toBe(1);
    const there = (await other.roster())!;
    expect(there).toEqual(rosters[first.indexOf(true)]);
    const next = { text: 'c', code: 'code of c' };
    expect(await other.replaceRoster({ ...there, code: 'another' }, next)).toBe(false);
    expect(await other.replaceRoster(there, next)).toBe(true);
    expect(await one.replaceRoster(there, { text: 'd', code: 'code of d' })).toBe(false);
    expect(await one.roster()).toEqual(next);
  });

  it('begins anew without entries, holders and roster', async () => {
    const feed = await open(temporaryFolder());
    const { incarnation } = await feed.head();
    await feed.append(entry(1));
    await feed.addHolder(holder('a', 1));
    await feed.replaceRoster(undefined, { text: 'a', code: 'b' });
    await feed.renew();
    expect(await feed.head()).toEqual({
      incarnation: expect.not.stringMatching(incarnation),
      number: 0,
      code: '',
    });
    expect(await feed.entries(0, 10)).toEqual([]);
    expect(await feed.holders()).toEqual([]);
    expect(await feed.roster()).toBeUndefined();
    await feed.renew(incarnation);
    expect((await feed.head()).incarnation).toBe(incarnation);
  });
});
