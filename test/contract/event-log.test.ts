import { randomBytes } from 'node:crypto';
import { describe, expect, it, vi } from 'vitest';
import { type EventLog, isTombstone, type PlacedRecord } from '../../libs/event-log/event-log.ts';
import { temporaryFolder } from '../support/temporary-store.ts';
import { adapters } from './adapters.ts';

/** A record of a stream whose last byte is given. */
function record(stream: number, text = ''): { key: Buffer; value: Buffer } {
  const key = Buffer.concat([Buffer.alloc(15, 1), Buffer.from([stream]), randomBytes(26)]);
  return { key, value: Buffer.from(text) };
}

async function followUntil(log: EventLog, group: string, count: number): Promise<string[]> {
  const stop = new AbortController();
  const seen: string[] = [];
  await log.follow({
    group,
    signal: stop.signal,
    async handle(records) {
      seen.push(...records.map((one) => one.value.toString()));
      if (seen.length >= count) stop.abort();
    },
  });
  return seen;
}

describe.each(adapters.eventLog)('event log %s', (_, open) => {
  it('keeps a stream in one partition, in the order of appends', async () => {
    const log = await open(temporaryFolder());
    const first = await log.append([record(5, 'a'), record(6, 'x'), record(5, 'b')]);
    const [last] = await log.append([record(5, 'c')]);
    const { partition } = first[0]!;
    expect([first[2]!.partition, last!.partition]).toEqual([partition, partition]);
    const records = await log.read(partition, 0, 10);
    const texts = records.map((one: PlacedRecord) => one.value.toString());
    expect(texts).toEqual(['a', 'b', 'c']);
    expect((await log.endOffsets())[partition]).toBe(3);
    expect((await log.read(partition, 2, 10)).map((one) => one.offset)).toEqual([2]);
  });

  it('is seen whole by another process, with the partitions it was made with', async () => {
    const folder = temporaryFolder();
    const log = await open(folder);
    await log.append(Array.from({ length: 50 }, (_, i) => record(i, `${i}`)));
    const other = await open(folder);
    expect(other.partitions).toBe(log.partitions);
    expect(await other.endOffsets()).toEqual(await log.endOffsets());
  });

  it('gives a group every record, and after a restart only what is new', async () => {
    const folder = temporaryFolder();
    const log = await open(folder);
    await log.append(Array.from({ length: 20 }, (_, i) => record(i, `${i}`)));
    expect((await followUntil(log, 'g', 20)).length).toBe(20);
    await log.append([record(1, 'new')]);
    const other = await open(folder);
    expect(await followUntil(other, 'g', 1)).toEqual(['new']);
    expect((await followUntil(other, 'other group', 21)).length).toBe(21);
  });

  it('gives records again when their handling failed', async () => {
    const log = await open(temporaryFolder());
    await log.append([record(1, 'once more')]);
    const stop = new AbortController();
    const handle = () => Promise.reject(new Error('the handler fails'));
    await expect(log.follow({ group: 'g', signal: stop.signal, handle })).rejects.toThrow();
    expect(await followUntil(log, 'g', 1)).toEqual(['once more']);
  });

  it('keeps a reference to what cannot be read once for each place, until it is taken out', async () => {
    const folder = temporaryFolder();
    const log = await open(folder);
    expect(await log.deadLetters.list()).toEqual([]);
    const [first, second] = [
      { partition: 1, offset: 7, reason: 'A' },
      { partition: 0, offset: 9, reason: 'B' },
    ];
    await log.deadLetters.keep([first, second, first]);
    await log.deadLetters.keep([first]);
    await log.deadLetters.keep([]);
    expect(await log.deadLetters.list()).toEqual([second, first]);
    const other = await open(folder);
    expect(await other.deadLetters.list()).toEqual([second, first]);
    await other.deadLetters.drop([first]);
    expect(await log.deadLetters.list()).toEqual([second]);
    await log.deadLetters.keep([first]);
    expect(await other.deadLetters.list()).toEqual([second, first]);
  });

  it('has one live member in a group at a time', async () => {
    const folder = temporaryFolder();
    const log = await open(folder);
    await log.append([record(1, 'x')]);
    const stop = new AbortController();
    let handled = 0;
    const handle = async () => {
      handled += 1;
    };
    const running = log.follow({ group: 'g', signal: stop.signal, handle });
    await vi.waitFor(() => expect(handled).toBe(1), { timeout: 20_000 });
    expect(await (await open(folder)).isFollowed('g')).toBe(true);
    stop.abort();
    await running;
    expect(handled).toBe(1);
    expect(await log.isFollowed('g')).toBe(false);
  });
});

// Engines that compact take the bytes later: see test/engines.
const removing = adapters.eventLog.filter(([engine]) => engine === 'sqlite');

describe.each(removing)('removal from the event log %s', (_, open) => {
  it('removes records for good, and keeps its end offsets and the order of the rest', async () => {
    const folder = temporaryFolder();
    const log = await open(folder);
    const texts = ['a', 'b', 'c', 'd'];
    const [{ partition } = { partition: 0 }] = await log.append(texts.map((t) => record(5, t)));
    await log.remove([1, 3].map((offset) => ({ partition, offset })));
    const other = await open(folder);
    expect((await other.endOffsets())[partition]).toBe(4);
    const left = (await other.read(partition, 0, 10)).filter((one) => !isTombstone(one));
    expect(left.map((one) => `${one.offset} ${one.value}`)).toEqual(['0 a', '2 c']);
    const [next] = await other.append([record(5, 'e')]);
    expect(next!.offset).toBe(4);
    // What was removed twice stays removed, and takes nothing else.
    await log.remove([{ partition, offset: 3 }]);
    expect((await followUntil(log, 'g', 3)).filter(Boolean)).toEqual(['a', 'c', 'e']);
  });
});
