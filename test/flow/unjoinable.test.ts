import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { describe, expect, it, onTestFinished } from 'vitest';
import { decodeRecord } from '../../libs/codec/event-record.ts';
import { fileOf } from '../../libs/configuration/configuration.ts';
import { isTombstone } from '../../libs/event-log/event-log.ts';
import { readLog } from '../../libs/event-log/read-log.ts';
import { openContents } from '../../libs/people/open-content.ts';
import { rowKinds } from '../../libs/vault/rows/vault-store.ts';
import { turnEpoch } from '../../services/operations/turn-epoch.ts';
import { reclaimDue } from '../../services/operations/upkeep.ts';
import { createPrivacy } from '../../services/privacy/doors/privacy.ts';
import { edited, PERSONAL, received, sent } from '../support/events.ts';
import { defaultConversationOf, subjectOf, textsOf } from '../support/reading.ts';
import { openTestStore, type TestStore } from '../support/temporary-store.ts';

async function erase(store: TestStore, name: string) {
  const privacy = createPrivacy(store.backends.privacy());
  const outcome = await privacy.eraseSubject(store.app.id, await subjectOf(store, name));
  if (outcome.status !== 'done') throw new Error(outcome.status);
  await store.project();
  return outcome;
}

async function allEvents(store: TestStore) {
  const events = [];
  for await (const records of readLog(store.backends.reader().log)) {
    for (const record of records) {
      if (!isTombstone(record)) events.push(decodeRecord(record.key, record.value));
    }
  }
  return events;
}

/** Every id in a fence or marker of the vault, with the row that has it. */
async function lossIds(store: TestStore): Promise<Map<string, string>> {
  const ids = new Map<string, string>();
  const vault = store.backends.vaultStore();
  for (const kind of Object.values(rowKinds)) {
    for await (const row of vault.scan(kind, store.app.id)) {
      if (row.erasure !== null) ids.set(row.erasure, `${kind} ${row.id}`);
    }
  }
  return ids;
}

describe('S22 nothing ties a known name to headers of somebody who was erased', () => {
  it('S22 no header on the old log can be tied to an erased person whose ids are known', async () => {
    const store = await openTestStore();
    await store.deliver(
      received('ann', 'hello', { conversation: PERSONAL, displayName: 'Ann' }),
      received('ben', 'hi', { conversation: PERSONAL }),
    );
    const reader = store.backends.reader();
    const ann = await subjectOf(store, 'ann');
    const [entry] = await reader.directory.subjects(store.app.id, [ann]);
    const { alias } = entry!.value;
    await erase(store, 'ann');
    // The outsider has every record, today's vault and its keys, the alias and the identity.
    const identity = { channel: 'chat', externalId: 'ann' };
    expect(await reader.directory.findSubjects(store.app.id, [identity])).toEqual([undefined]);
    expect(await reader.directory.findAlias(store.app.id, alias)).toBe('erased');
    for (const event of await allEvents(store)) {
      const [opened] = await openContents(reader, [event]);
      const text = JSON.stringify([event.header, opened?.content ?? null]);
      const tiesThem = text.includes(alias) && text.includes(ann);
      expect(tiesThem).toBe(false);
      if (event.header.owner === ann) expect(opened?.content).toBeUndefined();
    }
  });

  it('S22 the marker that an alias became carries an id that no other row of the vault has', async () => {
    const store = await openTestStore();
    await store.deliver(received('ann', 'hello', { conversation: PERSONAL }));
    await erase(store, 'ann');
    const ids: string[] = [];
    const vault = store.backends.vaultStore();
    for (const kind of Object.values(rowKinds)) {
      for await (const row of vault.scan(kind, store.app.id)) {
        if (row.erasure !== null) ids.push(`${kind} ${row.erasure}`);
      }
    }
    const markers = ids.filter((one) => one.startsWith(`${rowKinds.alias} `));
    expect(markers.length).toBe(1);
    const [, id] = markers[0]!.split(' ');
    expect(ids.filter((one) => one.endsWith(id!))).toEqual(markers);
  });

  it('S22 rows of the vault lie in an order that does not say which were made together', async () => {
    const store = await openTestStore();
    const names = Array.from({ length: 40 }, (_, i) => `person ${i}`);
    await store.deliver(...names.map((name) => received(name, 'hi', { conversation: PERSONAL })));
    const file = fileOf(store.configuration.vault);
    const database = new DatabaseSync(file);
    onTestFinished(() => database.close());
    const lying = database.prepare('SELECT key FROM vault_rows').all() as { key: Uint8Array }[];
    const keys = lying.map(({ key }) => Buffer.from(key).toString('hex'));
    expect(keys.length).toBeGreaterThan(200);
    expect(keys).toEqual(keys.toSorted());
    // One that an earlier version has made is laid anew when it is opened.
    database.exec(`ALTER TABLE vault_rows RENAME TO sorted;
      CREATE TABLE vault_rows (row INTEGER PRIMARY KEY, key BLOB NOT NULL, bucket INTEGER NOT NULL,
        version INTEGER NOT NULL, state INTEGER NOT NULL, wrapping_key BLOB NOT NULL,
        own_key BLOB, holds BLOB NOT NULL, edges BLOB NOT NULL, wrapped BLOB NOT NULL,
        erasure BLOB, fingerprint BLOB, owed BLOB);
      INSERT INTO vault_rows SELECT NULL, * FROM sorted ORDER BY random();
      CREATE UNIQUE INDEX vault_rows_key ON vault_rows (key);
      DROP TABLE sorted`);
    const again = await store.reopen();
    const laid = database.prepare('SELECT * FROM vault_rows').all() as { key: Uint8Array }[];
    expect(laid.map(({ key }) => Buffer.from(key).toString('hex'))).toEqual(keys);
    expect(await textsOf(again, await defaultConversationOf(again, 'person 7'))).toEqual(['hi']);
  });

  it('S22 an old copy of the ledger is noise once its days were swept, with the keys of today', async () => {
    const day = 86_400_000;
    let nowMs = Date.parse('2026-01-01T00:00:00Z');
    const store = await openTestStore({ clock: { nowMs: () => nowMs } });
    await store.deliver(received('ann', 'words', { id: 'a', conversation: PERSONAL }));
    const { deliveries } = store.backends.engines.state;
    const stolen = [];
    for await (const one of deliveries.all()) stolen.push(one.row);
    expect(stolen.length).toBeGreaterThan(0);
    await erase(store, 'ann');
    nowMs += 70 * day;
    await store.ingest.sweep();
    nowMs += 70 * day;
    await store.ingest.sweep();
    // Whoever kept the rows writes them back, and asks today's store for them.
    await deliveries.load(store.app.id, stolen);
    const again = await store.reopen();
    const { ledger } = again.backends.ingest();
    const found = ledger.find(
      store.app.id,
      stolen.map(({ id }) => id),
    );
    await expect(found).rejects.toMatchObject({ code: 'VAULT_TAMPERED' });
  });

  it('S22 who knows a person’s name and has all keys finds none of their entries in the ledger', async () => {
    const store = await openTestStore();
    const says = (name: string, n: number) =>
      received(name, `text ${n}`, { id: `${name} ${n}`, conversation: PERSONAL });
    await store.deliver(says('ann', 1), says('ann', 2), says('ben', 1), says('ben', 2));
    const deliveries = ['ann 1', 'ann 2', 'ben 1', 'ben 2'].map((id) => ({
      source: '/channels/chat/main',
      id,
    }));
    const { ledger } = store.backends.ingest();
    const app = store.app.id;
    const sayings = async () => {
      const names = deliveries.map((one) => {
        return { ...one, type: 'message', actorChannel: '', actorExternalId: '' };
      });
      const found = await ledger.find(app, await ledger.names(app, names));
      return found.map((one) => one!.entry.said);
    };
    // What two entries of one person have in common would lead from one to the other.
    expect(new Set(await sayings()).size).toBe(4);
    const guess = ['lethe.message.received', 'chat', 'ann', 'personal', '', '', ''];
    const unnamed = deliveries.map(() => ({ source: '', id: '' }));
    const known = await ledger.sayings(
      app,
      unnamed,
      deliveries.map(() => guess),
    );
    expect(await sayings()).not.toContain(known[0]);
  });

  it('S22 whoever redelivers what was erased under a guessed name is not told whether it is right', async () => {
    const store = await openTestStore();
    const says = (name: string, more: object = {}) =>
      received(name, 'hello', { id: 'm', conversation: PERSONAL, ...more });
    await store.deliver(says('ann'), received('cem', 'other', { id: 'n', conversation: PERSONAL }));
    await erase(store, 'ann');
    const guesses = [
      says('ann'),
      says('ben'),
      says('ann', { conversation: { type: 'sdkGroup', externalId: 'room' } }),
      sent('ann', 'hello', { id: 'm' }),
      sent('ben', 'hello', { id: 'm' }),
      edited('ann', 'm', 'again', { conversation: PERSONAL }),
      edited('ben', 'm', 'again', { conversation: PERSONAL }),
    ];
    for (const guess of guesses) {
      expect(await store.accept(guess)).toEqual([{ status: 'erased' }]);
    }
    // Of who is there it is told: ids are unique for each source.
    const [taken] = await store.accept(received('ben', 'x', { id: 'n', conversation: PERSONAL }));
    expect(taken).toMatchObject({ status: 'rejected', error: { code: 'id_taken' } });
  });

  it('S22 the id that is told of an erasure, certified and on the log is in no row of the vault', async () => {
    const store = await openTestStore();
    await store.deliver(
      received('ann', 'hello', { conversation: PERSONAL, displayName: 'Ann' }),
      received('ann', 'to all', { id: 'g' }),
    );
    const { erasure, certificate } = await erase(store, 'ann');
    const losses = await lossIds(store);
    expect(losses.size).toBeGreaterThan(1);
    const told = new Set<string>([erasure]);
    for (const { header } of await allEvents(store)) {
      for (const id of [header.eventId, header.thing]) told.add(id);
    }
    for (const id of told) expect(losses.has(id), id).toBe(false);
    const signed = JSON.parse(readFileSync(certificate!.file, 'utf8'));
    const statement = Buffer.from(signed.payload, 'base64').toString();
    for (const id of losses.keys()) expect(statement).not.toContain(id);
    expect(readdirSync(join(store.folder, 'certificates')).join()).toContain(erasure);
    // Nor does a table that has the one have the other beside it.
    const database = new DatabaseSync(fileOf(store.configuration.state));
    onTestFinished(() => database.close());
    for (const table of ['requests', 'request_afterlives']) {
      const rows = JSON.stringify(database.prepare(`SELECT * FROM ${table}`).all());
      expect(rows).toContain(erasure);
      for (const id of losses.keys()) expect(rows).not.toContain(id);
    }
  });

  it('S22 what ties that id to the rows is gone once T1 and reclaim are reached', async () => {
    let nowMs = Date.now();
    const store = await openTestStore({ clock: { nowMs: () => nowMs } });
    await store.deliver(received('ann', 'hello', { conversation: PERSONAL }));
    const { erasure } = await erase(store, 'ann');
    const losses = await lossIds(store);
    await turnEpoch(store);
    nowMs += 100 * 86_400_000;
    await reclaimDue(store);
    const state = fileOf(store.configuration.state);
    const database = new DatabaseSync(state);
    onTestFinished(() => database.close());
    for (const table of ['requests', 'request_afterlives']) {
      const rows = JSON.stringify(database.prepare(`SELECT * FROM ${table}`).all());
      expect(rows).toContain(erasure);
      for (const id of losses.keys()) expect(rows).not.toContain(id);
    }
  });
});
