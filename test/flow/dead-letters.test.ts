import { randomBytes } from 'node:crypto';
import { DatabaseSync } from 'node:sqlite';
import { describe, expect, it, onTestFinished } from 'vitest';
import { decodeRecord } from '../../libs/codec/event-record.ts';
import { encodeHeader, encodeSealedEvent } from '../../libs/codec/sealed-event.ts';
import { TEXT_LENGTH_MAX } from '../../libs/conversation/cloud-event.ts';
import type { LogRecord } from '../../libs/event-log/event-log.ts';
import { createKafka } from '../../libs/event-log/kafka/kafka-client.ts';
import { topicOf } from '../../libs/event-log/kafka/kafka-topic.ts';
import { rebuildViews } from '../../libs/projection/project.ts';
import { runDoctor } from '../../services/operations/doctor.ts';
import { readStream } from '../../services/reader/live-stream.ts';
import { startServer } from '../../services/server/serve.ts';
import { GROUP, received } from '../support/events.ts';
import { groupOf, recordsOf, textsOf } from '../support/reading.ts';
import { openTestStore, type TestStore } from '../support/temporary-store.ts';

const LONG = 'x'.repeat(70_000);

/** Bytes that are no event, in the stream of a conversation, as a stranger would write them. */
async function poison(store: TestStore, stream: string) {
  const key = Buffer.concat([Buffer.from(stream, 'hex'), randomBytes(26)]);
  const [at] = await store.backends.projector().log.append([{ key, value: randomBytes(300) }]);
  return at!;
}

/** Puts a record into a partition, far behind all others, as who can write the log may. */
async function placeRecord(
  { configuration }: TestStore,
  partition: number,
  { key, value }: LogRecord,
): Promise<number> {
  const { log } = configuration;
  if (log.engine === 'sqlite') {
    const database = new DatabaseSync(log.file);
    const offset = 500;
    const sql = 'INSERT INTO log_records (row, key, value) VALUES (?, ?, ?)';
    database.prepare(sql).run(partition * 2 ** 40 + offset, key, value);
    database.close();
    return offset;
  }
  const producer = createKafka(log).producer({ allowAutoTopicCreation: false });
  await producer.connect();
  const messages = [{ key, value, partition }];
  const [result] = await producer.send({ topic: topicOf(log), messages });
  await producer.disconnect();
  return Number(result!.baseOffset);
}

describe('a record that cannot be read', () => {
  it('stops nobody: it is named by place and reason, and the rest is in the views', async () => {
    const store = await openTestStore();
    await store.deliver(received('ana', 'before', { id: '1', conversation: GROUP }));
    const group = await groupOf(store);
    const { partition, offset } = await poison(store, group);
    await store.deliver(received('ana', 'after', { id: '2', conversation: GROUP }));
    expect(await textsOf(store, group)).toEqual(['before', 'after']);
    const { log } = store.backends.projector();
    const letter = { partition, offset, reason: 'FORMAT_UNKNOWN' };
    expect(await log.deadLetters.list()).toEqual([letter]);
    const checks = await runDoctor(store, () => undefined);
    const backlog = checks.find(({ name }) => name === 'backlog')!;
    expect(backlog.passed).toBe(false);
    expect(backlog.detail).toContain(`1 dead letters (${partition}:${offset} FORMAT_UNKNOWN)`);
    const server = await startServer(store);
    onTestFinished(() => server.stop());
    const metrics = await (await fetch(`${server.address}/metrics`)).text();
    expect(metrics).toContain('\nlethe_dead_letters 1\n');
  });

  it.each<[string, object, number?]>([
    ['attempt 70,000', { attempt: 70_000 }],
    ['attempt 0', { attempt: 0 }],
    ['attempt -1', { attempt: -1 }],
    ['retention class 16', { retentionClass: 16 }],
    ['retention class -1', { retentionClass: -1 }],
    ['time -1', { occurredAt: -1 }],
    ['time 2^50', { occurredAt: 2 ** 50 }],
    ['cipher 256', { cipher: 256 }],
    ['format version 2', { formatVersion: 2 }],
    ['kind of content, 70,000 letters', { type: 'ProfileUpdated', contentKind: LONG }],
    ['role of the author, 70,000 letters', { authorRole: LONG }],
    ['20,000 attachments', { attachments: Array(20_000).fill('0'.repeat(32)) }],
    ['3 MB of words', {}, 3_000_000],
  ])(
    'S51 with what no version writes is one, at each start and in a rebuild: %s',
    async (_, change, moreBytes = 0) => {
      const store = await openTestStore();
      await store.deliver(received('ana', 'before', { id: '1', conversation: GROUP }));
      const group = await groupOf(store);
      const { log } = store.backends.projector();
      for await (const record of recordsOf(store)) {
        const { header, ...sealed } = decodeRecord(record.key, record.value);
        if (header.type !== 'MessagePosted') continue;
        const headerBytes = encodeHeader({ ...header, ...change });
        const key = Buffer.from(record.key);
        const { attempt = 1 } = change as { attempt?: number };
        key.writeUInt16BE(attempt & 0xffff, 40);
        const ciphertext = Buffer.concat([sealed.ciphertext, Buffer.alloc(moreBytes)]);
        const value = encodeSealedEvent({ ...sealed, ciphertext, headerBytes });
        await log.append([{ key, value }]);
        break;
      }
      await store.deliver(received('ana', 'after', { id: '2', conversation: GROUP }));
      expect(await textsOf(store, group)).toEqual(['before', 'after']);
      expect(await log.deadLetters.list()).toMatchObject([{ reason: 'FORMAT_UNKNOWN' }]);
      await rebuildViews(
        store.backends.projector(),
        store.backends.reader().keyring,
        () => undefined,
      );
      expect(await textsOf(store, group)).toEqual(['before', 'after']);
      const again = await store.reopen();
      await again.deliver(received('ana', 'at last', { id: '3', conversation: GROUP }));
      expect(await textsOf(again, group)).toEqual(['before', 'after', 'at last']);
      expect((await runDoctor(again, () => undefined)).length).toBeGreaterThan(5);
    },
  );

  it('is one where it lies in another partition than its stream, and hides nothing that comes later', async () => {
    const store = await openTestStore();
    await store.deliver(received('ana', 'before', { id: '1', conversation: GROUP }));
    const group = await groupOf(store);
    const { log } = store.backends.projector();
    const records = await Array.fromAsync(recordsOf(store));
    const own = records.find(({ key, value }) => {
      return decodeRecord(key, value).header.type === 'MessagePosted';
    })!;
    const elsewhere = (own.partition + 1) % log.partitions;
    const offset = await placeRecord(store, elsewhere, own);
    await store.project();
    expect(await textsOf(store, group)).toEqual(['before']);
    const letter = { partition: elsewhere, offset, reason: 'EVENT_TAMPERED' };
    expect(await log.deadLetters.list()).toEqual([letter]);
    // The conversation's version must not stand where it was put: later ones would not be seen.
    for (const text of ['after', 'at last']) {
      await store.deliver(received('ana', text, { id: text, conversation: GROUP }));
      expect((await textsOf(store, group)).at(-1)).toBe(text);
    }
    const before = await textsOf(store, group);
    await rebuildViews(
      store.backends.projector(),
      store.backends.reader().keyring,
      () => undefined,
    );
    expect(await textsOf(store, group)).toEqual(before);
    expect(await log.deadLetters.list()).toEqual([letter]);
    const told: string[] = [];
    for (let partition = 0; partition < log.partitions; partition += 1) {
      const reader = store.backends.reader();
      for (const { open } of await readStream(reader, store.app.id, { partition, offset: 0 })) {
        const event = await open?.(reader);
        if (event?.type === 'conversation:message') told.push(event.type);
      }
    }
    expect(told.length).toBe(3);
  });

  it('a tombstone that somebody writes takes no living message: a rebuild gives what following gave', async () => {
    const store = await openTestStore();
    await store.deliver(received('ana', 'words', { id: '1', conversation: GROUP }));
    const group = await groupOf(store);
    const { log } = store.backends.projector();
    for (const { key } of await Array.fromAsync(recordsOf(store))) {
      await log.append([{ key, value: Buffer.alloc(0) }]);
    }
    await store.project();
    expect(await textsOf(store, group)).toEqual(['words']);
    const { projector, reader } = store.backends;
    await rebuildViews(projector(), reader().keyring, () => undefined);
    expect(await textsOf(store, group)).toEqual(['words']);
  });

  it('is none, however long a message is that was taken in', async () => {
    const store = await openTestStore();
    const longest = '長'.repeat(TEXT_LENGTH_MAX);
    await store.deliver(received('ana', longest, { id: '1', conversation: GROUP }));
    expect(await textsOf(store, await groupOf(store))).toEqual([longest]);
    expect(await store.backends.projector().log.deadLetters.list()).toEqual([]);
  });

  it('stays a dead letter when the views are rebuilt, unless it can be read by then or is not there', async () => {
    const store = await openTestStore();
    await store.deliver(received('ana', 'words', { id: '1', conversation: GROUP }));
    const group = await groupOf(store);
    const { log } = store.backends.projector();
    const bad = { ...(await poison(store, group)), reason: 'FORMAT_UNKNOWN' };
    // As an older version would have kept it, which could not read this event.
    const readable = { partition: bad.partition, offset: bad.offset - 1, reason: 'FORMAT_UNKNOWN' };
    // As they are left when an older copy of the log is brought back.
    const beyond = { ...bad, offset: bad.offset + 1_000 };
    const nowhere = { ...bad, partition: log.partitions };
    await log.deadLetters.keep([readable, beyond, nowhere]);
    await store.project();
    expect(await log.deadLetters.list()).toEqual([readable, bad, beyond, nowhere]);
    await rebuildViews(
      store.backends.projector(),
      store.backends.reader().keyring,
      () => undefined,
    );
    expect(await log.deadLetters.list()).toEqual([bad]);
    expect(await textsOf(store, group)).toEqual(['words']);
  });
});
