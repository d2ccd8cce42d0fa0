/**
 * What somebody sends to the broker who may write there, knows every id that lies in clear on the
 * log, and has no key: records that look like events of this store. Nothing changes by them.
 */
import { randomBytes } from 'node:crypto';
import { expect, it, onTestFinished } from 'vitest';
import { decodeRecord, encodeRecordKey } from '../../libs/codec/event-record.ts';
import {
  type EventHeader,
  encodeHeader,
  encodeSealedEvent,
  type SealedEvent,
} from '../../libs/codec/sealed-event.ts';
import { readConfiguration } from '../../libs/configuration/configuration.ts';
import { CassandraDatabase } from '../../libs/engines/cassandra-database.ts';
import type { EventLog } from '../../libs/event-log/event-log.ts';
import { openEventLogKafka } from '../../libs/event-log/kafka/event-log-kafka.ts';
import { createRecordCodes } from '../../libs/event-log/record-codes.ts';
import { createWakeSignal } from '../../libs/event-log/wake-signal.ts';
import { catchUp, rebuildViews } from '../../libs/projection/project.ts';
import { projectorGroup } from '../../libs/projection/views-behind.ts';
import { openProjectorBackends } from '../../libs/wiring/open-projector.ts';
import { copyStore } from '../../services/operations/copy-store.ts';
import { runDoctor } from '../../services/operations/doctor.ts';
import { createPrivacy } from '../../services/privacy/doors/privacy.ts';
import { readUser } from '../../services/reader/read-conversations.ts';
import { joined, profile, received } from '../support/events.ts';
import { groupOf, messagesOf, recordsOf, subjectOf, textsOf } from '../support/reading.ts';
import {
  embeddedVariables,
  openConfigured,
  openTestStore,
  type TestStore,
  temporaryFolder,
} from '../support/temporary-store.ts';

/** All that the views show of this store. */
async function shown(store: TestStore) {
  const powers = store.backends.reader();
  const app = store.app.id;
  const group = await groupOf(store);
  const ben = await subjectOf(store, 'ben');
  return {
    messages: await messagesOf(store, group),
    participants: await powers.views.participants(group),
    inbox: await powers.views.inbox(app, { limit: 10 }),
    people: await powers.views.people(app, { limit: 10 }),
    ben: await readUser(powers, app, ben),
  };
}

/** The log as somebody has it who is no part of this store. */
async function openAsStranger({ configuration }: TestStore): Promise<EventLog> {
  if (configuration.log.engine !== 'kafka') throw new Error('this needs Kafka');
  const log = await openEventLogKafka(configuration.log);
  onTestFinished(() => log.close());
  return log;
}

type Forger = (event: SealedEvent, ids: { readonly erased: string }) => Partial<EventHeader>;

const recordedAt = '0'.repeat(15) + 'f'.repeat(1);
const other = (id: string) => (id.slice(0, 4) + randomBytes(14).toString('hex')) as never;
const FORGED: Record<string, { of: string; as: Forger }> = {
  'a newer copy of a living message, as one of somebody who was erased': {
    of: 'MessagePosted',
    as: ({ header }, { erased }) => ({ attempt: header.attempt + 1, owner: erased as never }),
  },
  'an earlier copy of it': {
    of: 'MessagePosted',
    as: () => ({ attempt: 2, recordedAt: recordedAt as never }),
  },
  'another message': {
    of: 'MessagePosted',
    as: ({ header }) => ({ eventId: other(header.eventId), thing: other(header.thing) }),
  },
  'that somebody has left': {
    of: 'ParticipantJoined',
    as: ({ header }) => ({
      type: 'ParticipantLeft',
      eventId: other(header.eventId),
      occurredAt: header.occurredAt + 60_000,
    }),
  },
  'that somebody unknown has joined': {
    of: 'ParticipantJoined',
    as: ({ header }) => ({ eventId: other(header.eventId), owner: other(header.owner) }),
  },
  'one of another app': {
    of: 'MessagePosted',
    as: ({ header }) => ({ app: other(header.app), eventId: other(header.eventId) }),
  },
  'a newer name': {
    of: 'ProfileUpdated',
    as: ({ header }) => ({
      eventId: other(header.eventId),
      occurredAt: header.occurredAt + 60_000,
    }),
  },
  'another person': {
    of: 'IdentityLinked',
    as: ({ header }) => {
      const stranger = other(header.owner);
      return { eventId: other(header.eventId), owner: stranger, stream: stranger };
    },
  },
};

it('S51 records that somebody without a key sends change nothing, and are told as dead letters', async () => {
  const store = await openTestStore();
  await store.deliver(
    received('ann', 'hers', { id: 'a' }),
    received('ben', 'his', { id: 'b' }),
    profile('ben', { givenName: 'Ben' }),
    joined('cem'),
  );
  const app = store.app.id;
  const erased = await subjectOf(store, 'ann');
  await createPrivacy(store.backends.privacy()).eraseSubject(app, erased);
  await store.project();
  const before = await shown(store);
  const records = await Array.fromAsync(recordsOf(store));
  const events = records.map(({ key, value }) => decodeRecord(key, value));
  const owners = new Set<string>([erased]);
  const stranger = await openAsStranger(store);
  const guessed = createRecordCodes(async () => randomBytes(32));
  await guessed.ready();
  let sent = 0;
  for (const [what, { of, as }] of Object.entries(FORGED)) {
    const event = events.find(({ header }) => header.type === of && !owners.has(header.owner))!;
    expect(event, what).toBeDefined();
    const header = { ...event.header, ...as(event, { erased }) };
    const { nonce, ciphertext, tag } = event;
    const value = encodeSealedEvent({ headerBytes: encodeHeader(header), nonce, ciphertext, tag });
    const key = encodeRecordKey(header);
    // Without a code, with one of another key, and with that of a record which this store wrote.
    const own = records.find((one) => one.code !== undefined)!;
    for (const code of [undefined, guessed.of({ key, value }), own.code]) {
      await stranger.append([{ key, value, code, trace: `00-${'\u0000é'.repeat(20_000)}` }]);
      sent += 1;
    }
  }
  await store.project();
  expect(await shown(store)).toEqual(before);
  const { deadLetters } = store.backends.reader().log;
  const letters = await deadLetters.list();
  expect(letters.map(({ reason }) => reason)).toEqual(new Array(sent).fill('EVENT_TAMPERED'));
  const reopened = await store.reopen();
  const { keyring } = reopened.backends.reader();
  await rebuildViews(reopened.backends.projector(), keyring, () => undefined);
  expect(await shown(reopened)).toEqual(before);
  // Nor does it come into a copy, where nothing would tell it apart any more.
  const folder = temporaryFolder();
  const embedded = readConfiguration(embeddedVariables(folder));
  const through = { isKeptOpen: true, onProgress: () => undefined };
  const copied = await copyStore(reopened.configuration, embedded, through);
  expect(copied.log).toMatchObject({ foreign: sent, records: records.length });
  const copy = await openConfigured(embedded, folder, {}, app);
  onTestFinished(() => copy.backends.close());
  await copy.project();
  expect((await shown(copy)).messages).toEqual(before.messages);
  // What this store writes is its own, in a process of the projector too, which has no vault.
  await reopened.accept(received('ben', 'later', { id: 'c' }));
  const projector = await openProjectorBackends(reopened.configuration, createWakeSignal());
  onTestFinished(() => projector.close());
  await catchUp(projector);
  const now = await shown(reopened);
  expect(now.messages.length).toBe(before.messages.length + 1);
  expect((await projector.log.deadLetters.list()).length).toBe(sent);
});

it('S51 a consumer group that somebody moves hides nothing for good, and shows nothing twice', async () => {
  const store = await openTestStore();
  await store.deliver(received('ben', 'first', { id: 'a' }));
  const stranger = await openAsStranger(store);
  const { log, views } = store.backends.projector();
  const group = projectorGroup(await views.generation());
  const texts = async () => textsOf(store, await groupOf(store));
  await stranger.saveCheckpoints(group, new Array<number>(log.partitions).fill(0));
  await store.project();
  expect(await texts()).toEqual(['first']);
  await store.accept(received('ben', 'second', { id: 'b' }));
  await stranger.saveCheckpoints(group, await log.endOffsets());
  await store.project();
  expect(await texts()).toEqual(['first']);
  const checks = await runDoctor(store, () => undefined);
  const check = checks.find(({ name }) => name === 'views')!;
  expect(check.passed).toBe(false);
  expect(check.detail).toContain('1 messages of the log without a row: lethe rebuild');
  const { keyring } = store.backends.reader();
  await rebuildViews(store.backends.projector(), keyring, () => undefined);
  expect(await texts()).toEqual(['first', 'second']);
});

it('the projector waits for who tells it what records are this store’s', async () => {
  const store = await openTestStore();
  await store.accept(received('ben', 'his', { id: 'b' }));
  const { views: settings } = store.configuration;
  if (settings.engine !== 'cassandra') throw new Error('this needs Cassandra');
  const database = new CassandraDatabase(settings, 'VIEWS_UNREACHABLE', 'localQuorum');
  onTestFinished(() => database.close());
  await database.run('TRUNCATE view_record_key');
  const projector = await openProjectorBackends(store.configuration, createWakeSignal());
  onTestFinished(() => projector.close());
  await expect(catchUp(projector)).rejects.toMatchObject({
    code: 'VIEWS_UNREACHABLE',
    retryable: true,
  });
  expect(await projector.log.deadLetters.list()).toEqual([]);
  const again = await store.reopen();
  await catchUp(projector);
  expect((await messagesOf(again, await groupOf(again))).length).toBe(1);
});
