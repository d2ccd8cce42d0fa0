import { renameSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { readCloudEvent } from '../../libs/conversation/cloud-event.ts';
import type { IngestItem } from '../../services/ingest/plan/ingest-item.ts';
import { makeBackup } from '../../services/operations/backup.ts';
import { createApp } from '../../services/operations/create-app.ts';
import { restore } from '../../services/operations/restore.ts';
import { type Door, doorOf, openDoor } from '../support/door.ts';
import { PERSONAL, received } from '../support/events.ts';
import { openAt, openTestStore } from '../support/temporary-store.ts';

const says = (n: number, name = 'ann') =>
  received(name, `text ${n}`, { id: `${name} ${n}`, conversation: PERSONAL });
const many = (from: number, to: number) =>
  Array.from({ length: to - from }, (_, i) => says(from + i));

/** What a consumer is told first who sends this cursor, and a message after that. */
async function resume(door: Door, cursor: string): Promise<string> {
  const stream = await door.stream('', { 'last-event-id': cursor });
  const first = await stream.until('id: ');
  await door.call('POST', '/events', says(Math.random(), 'zoe'));
  return first + (await stream.until('"text":"text 0.'));
}

/** The same for another app of the store. */
const deliveries = (count: number): IngestItem[] =>
  many(0, count).flatMap((event) => {
    const read = readCloudEvent(event, Date.now());
    return 'value' in read ? [{ kind: 'delivery', delivery: read.value }] : [];
  });

const RESET = 'event: stream:reset\ndata: {"type":"stream:reset","payload":{"purge":"all"}}\n';

/** A cursor that a consumer has read up to. */
async function cursorBehind(door: Door, wanted: string): Promise<string> {
  const stream = await door.stream('?from=start');
  await stream.until(wanted);
  stream.end();
  return stream.lastId;
}

describe('S56 a cursor of the stream', () => {
  it('from before a restore is told to read anew, also when the log has gone on past it', async () => {
    const store = await openTestStore();
    await store.deliver(...many(0, 5));
    const backups = join(store.folder, 'backups');
    await makeBackup(store, backups, Date.now());
    await store.deliver(...many(5, 25));
    const door = await doorOf(store);
    const cursor = await cursorBehind(door, '"text":"text 24"');
    await door.stop();
    await store.ingest.close();
    await store.backends.close();
    renameSync(join(store.folder, 'data'), join(store.folder, 'lost'));
    const onProgress = () => undefined;
    const settings = { isNewerRemoved: false, erasuresHead: 'any' as const, onProgress };
    await restore(store.configuration, backups, settings);
    const restored = await openAt(store.folder, {}, store.app.id);
    await restored.deliver(...many(100, 160));
    const told = await resume(await doorOf(restored), cursor);
    expect(told).toContain(RESET);
    // It goes on from now: what is there is to be read anew, not by the stream.
    expect(told).not.toContain('"text":"text 1');
  });

  it('ahead of the log, of another app, changed or made up is told to read anew', async () => {
    const door = await openDoor();
    await door.store.deliver(...many(0, 3));
    const cursor = await cursorBehind(door, '"text":"text 2"');
    const administration = door.store.backends.administration();
    const other = await createApp(administration, { name: 'other', buckets: 16 });
    const { partitions, endOffsets } = door.store.backends.reader().log;
    const { cursors } = door.store.backends.reader();
    const ends = await endOffsets();
    const seal = async (app = door.store.app.id, by = 0, count = partitions) => {
      const places = ends
        .slice(0, count)
        .map((end, partition) => ({ partition, offset: end + by }));
      return (await cursors.of(app)).seal('stream', places);
    };
    const position = (await door.call('POST', '/events', says(50))).headers.get('lethe-position')!;
    const bad = [
      await seal(door.store.app.id, 9),
      await seal(door.store.app.id, 0, partitions - 1),
      await seal(other.id),
      position,
      `${cursor.slice(0, 40)}${cursor[40] === 'A' ? 'B' : 'A'}${cursor.slice(41)}`,
      ends.join('.'),
      'x',
    ];
    for (const one of bad) expect(await resume(door, one)).toContain(RESET);
    for (const one of [cursor, await seal()]) {
      expect(await resume(door, one)).not.toContain('stream:reset');
    }
  });

  it('tells an app nothing of how much others write, and neither does the position of a write', async () => {
    const door = await openDoor();
    await door.store.deliver(...many(0, 3));
    const write = async (n: number) =>
      (await door.call('POST', '/events', says(n))).headers.get('lethe-position')!;
    const before = { position: await write(10), cursor: await cursorBehind(door, 'text 10"') };
    const administration = door.store.backends.administration();
    const other = await createApp(administration, { name: 'other', buckets: 16 });
    await door.store.ingest.accept(other.id, deliveries(300));
    const after = { position: await write(11), cursor: await cursorBehind(door, 'text 11"') };
    for (const name of ['position', 'cursor'] as const) {
      expect(after[name].length).toBe(before[name].length);
      expect(before[name]).toMatch(/^[\w-]+$/);
      // Nothing of it is the same twice: what changes tells nothing either.
      expect(Buffer.from(after[name], 'base64url').subarray(1, 13)).not.toEqual(
        Buffer.from(before[name], 'base64url').subarray(1, 13),
      );
    }
  });

  it('that tells where a write lies is good for waiting in its own app alone', async () => {
    const door = await openDoor();
    const made = await door.call('POST', '/events', says(1));
    const position = made.headers.get('lethe-position')!;
    const wait = (value: string) =>
      door.call('GET', '/conversations', undefined, { 'lethe-wait-for': value });
    expect((await wait(position)).body.conversations.length).toBe(1);
    const { cursors } = door.store.backends.reader();
    const places = [{ partition: 0, offset: 0 }];
    const stream = (await cursors.of(door.store.app.id)).seal('stream', places);
    const others = (await cursors.of('a'.repeat(32) as never)).seal('write', places);
    for (const value of [stream, others, '0:0', 'x', '']) {
      const refused = await wait(value);
      expect([refused.status, refused.body.errors[0].code]).toEqual([400, 'bad_request']);
    }
  });
});
