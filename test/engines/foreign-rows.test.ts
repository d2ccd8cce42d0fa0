/**
 * What others than Lethe can write into its engines: anybody who may write to the broker, or a
 * single cell of a table. It stops nobody.
 */
import { randomBytes } from 'node:crypto';
import { join } from 'node:path';
import cassandraDriver from 'cassandra-driver';
import kafkajs from 'kafkajs';
import { describe, expect, it, onTestFinished } from 'vitest';
import {
  accessKeySchema,
  openAccessKeyStoreCassandra,
} from '../../libs/access/cassandra/access-key-store-cassandra.ts';
import { hexToBytes } from '../../libs/base/hex.ts';
import { readCloudEvent } from '../../libs/conversation/cloud-event.ts';
import {
  deliverySchema,
  openDeliveryStoreCassandra,
} from '../../libs/deliveries/cassandra/delivery-store-cassandra.ts';
import { CassandraDatabase } from '../../libs/engines/cassandra-database.ts';
import { readKafkaUrl } from '../../libs/engines/engine-urls.ts';
import { SqliteDatabase } from '../../libs/engines/sqlite-database.ts';
import { copyLog } from '../../libs/event-log/copy-log.ts';
import { openEventLogKafka } from '../../libs/event-log/kafka/event-log-kafka.ts';
import { createKafka } from '../../libs/event-log/kafka/kafka-client.ts';
import { makeTopics, topicOf } from '../../libs/event-log/kafka/kafka-topic.ts';
import { openEventLogSqlite } from '../../libs/event-log/sqlite/event-log-sqlite.ts';
import { createWakeSignal } from '../../libs/event-log/wake-signal.ts';
import {
  openRequestTableCassandra,
  requestSchema,
} from '../../libs/requests/cassandra/request-table-cassandra.ts';
import { thingPath } from '../../libs/sealing/tree-path.ts';
import { openFeedStoreCassandra } from '../../libs/vault/feed/cassandra/feed-store-cassandra.ts';
import { vaultSchema } from '../../libs/vault/rows/cassandra/vault-schema-cassandra.ts';
import { rowKinds } from '../../libs/vault/rows/vault-store.ts';
import { viewSchema } from '../../libs/views/cassandra/view-schema-cassandra.ts';
import { openViewStoreCassandra } from '../../libs/views/cassandra/view-store-cassandra.ts';
import { createApp } from '../../services/operations/create-app.ts';
import { revokeKey } from '../../services/operations/revoke-key.ts';
import { turnEpoch } from '../../services/operations/turn-epoch.ts';
import { createPrivacy } from '../../services/privacy/doors/privacy.ts';
import { watchErasures } from '../../services/privacy/life/enforce.ts';
import { cassandra, engines } from '../contract/engines.ts';
import { received } from '../support/events.ts';
import { groupOf, subjectOf, textsOf } from '../support/reading.ts';
import { type TestStore, temporaryFolder } from '../support/temporary-store.ts';
import { openPeople, taking } from '../support/vault-rows.ts';

/** Snappy of the kind that Java's clients send: a header, then blocks that only repeat bytes. */
function snappyOf(bytes: Buffer): Buffer {
  const header = Buffer.from('82534e415050590000000001 00000001'.replace(' ', ''), 'hex');
  const length: number[] = [];
  for (let left = bytes.length; ; left >>>= 7) {
    length.push(left > 127 ? (left & 127) | 128 : left);
    if (left <= 127) break;
  }
  const literal = Buffer.from([61 << 2, (bytes.length - 1) & 255, (bytes.length - 1) >>> 8]);
  const block = Buffer.concat([Buffer.from(length), literal, bytes]);
  const size = Buffer.alloc(4);
  size.writeUInt32BE(block.length);
  return Buffer.concat([header, size, block]);
}

interface Foreign {
  readonly codec: number;
  readonly records: number;
  /** Of each value. */
  readonly bytes: number;
}

const BATCHES: Record<string, Foreign> = {
  'of a codec that it does not have': {
    codec: kafkajs.CompressionTypes.Snappy,
    records: 2,
    bytes: 20,
  },
  'that is a thousand times longer than it comes': {
    codec: kafkajs.CompressionTypes.ZSTD,
    records: 2,
    bytes: 32_000_000,
  },
  'of more records than it ever writes at once': {
    codec: kafkajs.CompressionTypes.None,
    records: 20_001,
    bytes: 0,
  },
};

describe('a batch of the log that Lethe cannot decode', () => {
  it.each(Object.entries(BATCHES))(
    'stands as one record that nobody can read, for who follows too, and goes on: %s',
    async (_, { codec, records, bytes }) => {
      const name = `foreign${codec}`;
      const server = engines!.LETHE_LOG!.split('?')[0];
      const engine = readKafkaUrl(`${server}?prefix=${name}&partitions=1&replication=1`)!;
      const client = createKafka(engine);
      kafkajs.CompressionCodecs[kafkajs.CompressionTypes.Snappy] = () => ({
        compress: async ({ buffer }: { buffer: Buffer }) => snappyOf(buffer),
        decompress: async () => {
          throw Object.assign(new Error('not here'), { name: 'KafkaJSNotImplemented' });
        },
      });
      await makeTopics(client, engine);
      const log = await openEventLogKafka(engine);
      const own = (text: string) => [{ key: Buffer.alloc(42, 1), value: Buffer.from(text) }];
      await log.append(own('before'));
      const producer = client.producer();
      await producer.connect();
      const messages = Array.from({ length: records }, (_one, n) => {
        return { key: bytes > 0 ? `foreign ${n}` : 'f', value: Buffer.alloc(bytes, n) };
      });
      await producer.send({ topic: topicOf(engine), compression: codec, messages });
      await producer.disconnect();
      await log.append(own('after'));
      const [end] = await log.endOffsets();
      expect(end).toBe(records + 2);
      const toText = ({ value }: { value: Buffer }) => {
        return value.length === 1 ? 'unreadable' : String(value);
      };
      const read: string[] = [];
      for (let from = 0; from < end!; ) {
        const found = await log.read(0, from, 100);
        read.push(...found.map(toText));
        from = found.at(-1)!.offset + 1;
      }
      expect(read).toEqual(['before', 'unreadable', 'after']);
      const followed: string[] = [];
      const stop = new AbortController();
      const follow = () =>
        log.follow({
          group: name,
          signal: stop.signal,
          handle: async (found) => void followed.push(...found.map(toText)),
        });
      // The first group of a broker is not there at once: whoever follows begins anew then.
      const following = follow().catch(follow).catch(follow);
      await expect.poll(() => followed, { timeout: 90_000 }).toEqual(read);
      stop.abort();
      await following;
      await log.close();
    },
  );
});

describe('a transaction of somebody else on the topic', () => {
  it('holds nobody up while it is open, and leaves nothing that a copy of the log trips over', async () => {
    const name = `tx${Date.now() % 100_000}`;
    const engine = readKafkaUrl(
      `${engines!.LETHE_LOG!.split('?')[0]}?prefix=${name}&partitions=1&replication=1`,
    )!;
    const client = createKafka(engine);
    await makeTopics(client, engine);
    const log = await openEventLogKafka(engine);
    const own = (text: string) => {
      const key = Buffer.concat([Buffer.alloc(16, 1), randomBytes(26)]);
      return [{ key, value: Buffer.from(text) }];
    };
    await log.append(own('before'));
    const [transactionalId, idempotent] = [name, true];
    const producer = client.producer({ transactionalId, idempotent, maxInFlightRequests: 1 });
    await producer.connect();
    const transaction = await producer.transaction();
    await transaction.send({ topic: topicOf(engine), messages: [{ key: 'k', value: 'junk' }] });
    await log.append(own('after'));
    const followed: string[] = [];
    const stop = new AbortController();
    const handle = async (found: readonly { value: Buffer }[]) =>
      void followed.push(...found.map(({ value }) => String(value)));
    const follow = () => log.follow({ group: name, signal: stop.signal, handle });
    const following = follow().catch(follow).catch(follow);
    const words = () => followed.filter((text) => text !== '');
    await expect.poll(words, { timeout: 50_000 }).toEqual(['before', 'junk', 'after']);
    await transaction.abort();
    await producer.disconnect();
    // The mark of its end takes a place, which who follows passes too.
    await expect.poll(() => log.checkpoints(name), { timeout: 20_000 }).toEqual([4]);
    expect(await log.endOffsets()).toEqual([4]);
    stop.abort();
    await following;
    const options = { wake: createWakeSignal(), partitions: 1 };
    const target = openEventLogSqlite(
      new SqliteDatabase(join(temporaryFolder(), 'log.db'), 'LOG_UNREACHABLE'),
      options,
    );
    // Twice: what was interrupted is gone on with.
    for (const appended of [2, 0]) {
      expect(await copyLog(log, target)).toMatchObject({ records: 2, appended });
    }
    await log.close();
  });
});

const schemas = [accessKeySchema, deliverySchema, requestSchema, vaultSchema, viewSchema];
const [, openDatabase] = cassandra(schemas, (database: CassandraDatabase) => database)[0]!;

describe('rows of which only some cells are there', () => {
  it('are left out of what is copied of the state', async () => {
    const database = await openDatabase(temporaryFolder());
    const id = Buffer.alloc(16, 3);
    await database.run("INSERT INTO requests (id) VALUES ('bare')");
    await database.run("INSERT INTO request_afterlives (id) VALUES ('bare')");
    await database.run("INSERT INTO access_keys (id, scope) VALUES ('bare', 'app')");
    await database.run('INSERT INTO deliveries (app, id) VALUES (?, ?)', id, id);
    const requests = openRequestTableCassandra(database);
    const all = [
      requests.all(),
      requests.allAfterlives(),
      openAccessKeyStoreCassandra(database).all(),
      openDeliveryStoreCassandra(database).all(),
    ];
    for (const rows of all) expect(await Array.fromAsync<unknown>(rows)).toEqual([]);
  });

  it('are passed over by who reads the views', async () => {
    const database = await openDatabase(temporaryFolder());
    const views = openViewStoreCassandra(database);
    const generation = await views.generation();
    const id = Buffer.alloc(16, 3);
    const hexId = id.toString('hex');
    const into = (table: string, columns: string, ...values: (Buffer | string)[]) =>
      database.run(
        `INSERT INTO ${table}_${generation} (${columns}) VALUES (${values.map(() => '?')})`,
        ...values,
      );
    const leaf = Buffer.from(thingPath(hexId));
    await into('messages', 'leaf, message', leaf, id);
    await into('messages', 'leaf, message, conversation', leaf, Buffer.alloc(16, 4), id);
    await into('conversations_of', 'subject, conversation', id, id);
    await into('changes', 'message, kind, event', id, 'edit', id);
    await into('facts', 'stream, kind, name', id, 'ProfileUpdated', '');
    await into('participants', 'conversation, subject', id, id);
    await into('conversations', 'id', id);
    expect(await Array.fromAsync<unknown>(views.scanRecords())).toEqual([]);
    expect(await views.message(hexId as never)).toBeUndefined();
    expect(await views.changes([hexId as never], { edits: 8 })).toEqual([]);
    expect(await views.facts(hexId as never)).toEqual([]);
    expect(await views.participants(hexId as never)).toEqual([]);
    expect(await views.conversation(hexId as never)).toBeUndefined();
    expect(await views.conversationsOf(hexId, { limit: 5 })).toEqual([]);
    expect(await views.conversationIdsOf(hexId)).toEqual([]);
  });

  it('keep no entry from the feed: where its head was removed, entries say where it was', async () => {
    const database = await openDatabase(temporaryFolder());
    const store = openFeedStoreCassandra(database);
    const { incarnation } = await store.head();
    const entry = { erasure: '0a'.repeat(16) as never, rows: 'everything' as const };
    for (const number of [1, 2]) {
      await store.append({ ...entry, number, code: String(number).repeat(64) });
    }
    await database.run('DELETE head FROM feed_entries WHERE one = 0');
    expect(await store.head()).toEqual({ incarnation, number: 2, code: '2'.repeat(64) });
    expect(await store.append({ ...entry, number: 3, code: '3'.repeat(64) })).toBe(true);
  });
});

type Raw = Record<string, unknown>;

function vaultOf(store: TestStore): CassandraDatabase {
  const { vault } = store.configuration;
  if (vault.engine !== 'cassandra') throw new Error('this needs Cassandra');
  const database = new CassandraDatabase(vault, 'VAULT_UNREACHABLE', 'quorum');
  onTestFinished(() => database.close());
  return database;
}

function rowsOfKind(database: CassandraDatabase, kind: number): Promise<Raw[]> {
  return database.all<Raw>(`SELECT * FROM vault_rows WHERE kind = ${kind} ALLOW FILTERING`);
}

/** Writes rows as they are, with a time of writing an hour ahead. */
async function writeAhead(database: CassandraDatabase, rows: readonly Raw[]): Promise<void> {
  const aheadMicros = cassandraDriver.types.Long.fromNumber((Date.now() + 3_600_000) * 1_000);
  for (const row of rows) {
    const names = Object.keys(row);
    const places = names.map(() => '?');
    const insert = `INSERT INTO vault_rows (${names}) VALUES (${places}) USING TIMESTAMP ?`;
    await database.run(insert, ...Object.values(row), aheadMicros);
  }
}

describe('rows that are taken out of the lists of the vault', () => {
  it.each([
    ['of an app’s root', 'DELETE FROM vault_rare WHERE kind = 2 AND app = ?'],
    ['of its buckets', 'DELETE FROM vault_buckets WHERE app = ?'],
  ])('take nothing with them when a turn ends the old keys: %s', async (_, removal) => {
    const store = await openPeople();
    const { id } = await createApp(store.backends.administration(), { name: 'other', buckets: 16 });
    const other: TestStore = {
      ...store,
      app: (await store.backends.administration().apps.find(id))!,
    };
    const read = readCloudEvent(received('zoe', 'hers', { id: 'z' }), Date.now());
    if (!('value' in read)) throw new Error('this event is well formed');
    await store.ingest.accept(id, [{ kind: 'delivery', delivery: read.value }]);
    await store.project();
    const ben = await subjectOf(store, 'ben');
    await createPrivacy(store.backends.privacy()).eraseSubject(store.app.id, ben);
    await vaultOf(store).run(removal, hexToBytes(id));
    await vaultOf(store).run(removal, hexToBytes(store.app.id));
    expect((await turnEpoch(store)).turn).toMatchObject({ step: 'done', failedApps: [] });
    const again = await store.reopen();
    const there: TestStore = { ...again, app: other.app };
    expect(await textsOf(there, await groupOf(there))).toEqual(['hers']);
    expect(await textsOf(again, await groupOf(again))).toContain('hers');
  });
});

describe('rows that carry a time of writing which lies ahead', () => {
  it.each(['appRoot', 'ownerRing'] as const)('hold no turn up: %s', async (kind) => {
    const store = await openPeople();
    const ben = await subjectOf(store, 'ben');
    const database = vaultOf(store);
    await writeAhead(database, await rowsOfKind(database, rowKinds[kind]));
    // So that the bucket of the person is turned.
    const privacy = createPrivacy(store.backends.privacy());
    expect((await privacy.clearProfile(store.app.id, ben)).status).toBe('done');
    expect((await turnEpoch(store)).turn).toMatchObject({ step: 'done', failedApps: [] });
    // Written over, they carry a time that lies ahead too: the next turn goes on all the same.
    expect((await turnEpoch(store)).turn).toMatchObject({ step: 'done', failedApps: [] });
    const again = await store.reopen();
    expect(await textsOf(again, await groupOf(again))).toContain('hers');
  });

  it('of a name: its person’s erasure is not answered, and says which row does not give way', async () => {
    const store = await openPeople();
    const database = vaultOf(store);
    await writeAhead(database, await rowsOfKind(database, rowKinds.identity));
    const erasing = taking['the erasure of a person']!(
      createPrivacy(store.backends.privacy()),
      store,
    );
    await expect(erasing).rejects.toThrow(`identity (kind ${rowKinds.identity}`);
    expect((await store.backends.privacy().requests.open(10)).length).toBe(1);
  });

  it('of an access key that was revoked: it is revoked once more, and keeps no erasure waiting', async () => {
    const store = await openPeople();
    const administration = store.backends.administration();
    const nowMs = Date.now();
    const app = store.app.id;
    const key = await administration.accessKeys.create({ app, scope: 'integration', nowMs });
    const database = vaultOf(store);
    const old = await rowsOfKind(database, rowKinds.accessKey);
    const hers = await rowsOfKind(database, rowKinds.ownerRing);
    await revokeKey(administration, key.id);
    const ann = await subjectOf(store, 'ann');
    const group = await groupOf(store);
    expect(await createPrivacy(store.backends.privacy()).eraseSubject(app, ann)).toMatchObject({
      status: 'done',
    });
    await writeAhead(database, old);
    // Her rows as they were, with a time of now.
    for (const row of hers) {
      const names = Object.keys(row);
      const insert = `INSERT INTO vault_rows (${names}) VALUES (${names.map(() => '?')})`;
      await database.run(insert, ...Object.values(row));
    }
    const again = await store.reopen();
    const told: string[] = [];
    const look = watchErasures(again.backends.privacy(), ({ message }) => told.push(message));
    await look();
    const text = `the access key ${key.id} had been revoked, and old rows of it were written back`;
    expect(told.join()).toContain(`${text}. It was revoked once more`);
    expect(told.join()).toContain('something of it was there again');
    expect((await look()).found).toBe(0);
    expect(await textsOf(await again.reopen(), group)).not.toContain('hers');
  });

  it.each(['the erasure of a person', 'a message’s', 'days of everybody'])(
    'keep nothing from going: %s',
    async (name) => {
      const store = await openPeople();
      const database = vaultOf(store);
      const rings = [rowKinds.appRoot, rowKinds.appRing, rowKinds.ownerRing, rowKinds.placeRing];
      const kinds = await Promise.all(rings.map((kind) => rowsOfKind(database, kind)));
      await writeAhead(database, kinds.flat());
      const privacy = createPrivacy(store.backends.privacy());
      expect((await taking[name]!(privacy, store)).status).toBe('done');
      expect(await store.backends.privacy().requests.open(10)).toEqual([]);
      const again = await store.reopen();
      const look = watchErasures(again.backends.privacy(), () => undefined);
      expect((await look()).found).toBe(0);
    },
  );
});
