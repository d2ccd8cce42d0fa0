import { describe, expect, it } from 'vitest';
import type { AppId } from '../../../libs/base/ids.ts';
import { createIngestQueue } from '../../../services/ingest/accept/ingest-queue.ts';
import type { IngestItem, Outcome } from '../../../services/ingest/plan/ingest-item.ts';

const [busy, quiet] = ['a'.repeat(32), 'b'.repeat(32)] as [AppId, AppId];

/** Items that are known again by the outcomes they get. */
const itemsOf = (count: number, name: string) =>
  Array.from({ length: count }, (_, i) => ({ kind: `${name} ${i}` }) as never as IngestItem);
const outcomeOf = (item: IngestItem): Outcome => ({ status: 'duplicate', eventId: item.kind });

/** A queue that writes down its batches. */
function openQueue(work: () => Promise<unknown> = async () => undefined) {
  const batches: [AppId, number][] = [];
  const queue = createIngestQueue(async (app, items) => {
    batches.push([app, items.length]);
    await work();
    return items.map(outcomeOf);
  });
  return { queue, batches };
}

describe('the queue of ingest', () => {
  it('answers each request with its own outcomes, in their order, also one that was cut', async () => {
    const { queue, batches } = openQueue();
    const requests = [itemsOf(3, 'first'), itemsOf(5_000, 'long'), itemsOf(2, 'last')];
    const answers = await Promise.all(requests.map((items) => queue.add(busy, items)));
    expect(answers).toEqual(requests.map((items) => items.map(outcomeOf)));
    expect(batches.map(([, count]) => count)).toEqual([2_000, 2_000, 1_005]);
    expect(queue.backlog).toBe(0);
  });

  it('lets an app wait for one short batch of another, whatever that has brought', async () => {
    const { queue, batches } = openQueue();
    const long = queue.add(busy, itemsOf(10_000, 'long'));
    const more = queue.add(busy, itemsOf(10_000, 'more'));
    await queue.add(quiet, itemsOf(1, 'short'));
    expect(batches.slice(0, 2)).toEqual([
      [busy, 20],
      [quiet, 1],
    ]);
    await Promise.all([long, more]);
    expect(queue.backlog).toBe(0);
  });

  it('takes whoever comes while a batch of another is under way next, and not after one more', async () => {
    const late: Promise<unknown>[] = [];
    const { queue, batches } = openQueue(async () => {
      if (batches.length % 3 === 2) late.push(queue.add(quiet, itemsOf(1, 'short')));
    });
    await queue.add(quiet, itemsOf(1, 'first'));
    await queue.add(busy, itemsOf(200, 'long'));
    await Promise.all(late);
    const shorts = batches.flatMap(([app], i) => (app === quiet ? [i] : []));
    // Asked for during the batches 2, 5, 8, and so on.
    expect(shorts.slice(0, 4)).toEqual([0, 2, 5, 8]);
  });

  it('tells a failure to whom it concerns, begins nothing more of theirs, and goes on', async () => {
    let calls = 0;
    const { queue, batches } = openQueue(async () => {
      calls += 1;
      if (calls === 2) throw new Error('away');
    });
    const long = queue.add(busy, itemsOf(9_000, 'long'));
    await expect(long).rejects.toThrow('away');
    expect(batches.length).toBe(2);
    expect(queue.backlog).toBe(0);
    expect(await queue.add(busy, itemsOf(1, 'next'))).toHaveLength(1);
    await queue.drained();
  });
});
