/** Rows of a vault, taken down and written back by who can write its file and has no key. */
import { DatabaseSync } from 'node:sqlite';
import { onTestFinished } from 'vitest';
import type { MessageId } from '../../libs/base/ids.ts';
import type { Privacy } from '../../services/privacy/doors/privacy.ts';
import { PERSONAL, profile, received } from './events.ts';
import { defaultConversationOf, groupOf, messagesOf, subjectOf } from './reading.ts';
import { openTestStore, type TestStore } from './temporary-store.ts';

/** A row of the vault's table as it lies in SQLite. */
export type Row = Record<string, Uint8Array | number | null> & { key: Uint8Array; version: number };

/** The number of a row's kind. */
export const kindOf = ({ key }: Row) => key[16]!;
/** A row's key: app ‖ kind ‖ id. */
export const hex = ({ key }: Row) => Buffer.from(key).toString('hex');

/** Opens a table's file as who needs no key does; it is closed with the test. */
export function openVault(file: string): DatabaseSync {
  const database = new DatabaseSync(file);
  onTestFinished(() => {
    if (database.isOpen) database.close();
  });
  return database;
}

/** Every row of a vault. */
export const rowsOf = (database: DatabaseSync) =>
  database.prepare('SELECT * FROM vault_rows').all() as Row[];

/** Writes rows as they were, over whatever is there. */
export function put(database: DatabaseSync, rows: readonly Row[]): void {
  for (const row of rows) {
    const names = Object.keys(row);
    const places = names.map(() => '?').join();
    const sql = `INSERT OR REPLACE INTO vault_rows (${names.join()}) VALUES (${places})`;
    database.prepare(sql).run(...(Object.values(row) as never[]));
  }
}

/** A group of two, one of whom is written to alone and has a profile. */
export async function openPeople(nowMs = Date.now): Promise<TestStore> {
  const store = await openTestStore({ clock: { nowMs } });
  await store.deliver(
    received('ann', 'hers', { id: 'a' }),
    received('ben', 'his', { id: 'b' }),
    received('ann', 'secret', { id: 'c', conversation: PERSONAL }),
    profile('ann', { givenName: 'Ann' }),
  );
  return store;
}

type Taking = (privacy: Privacy, store: TestStore) => Promise<{ status: string }>;

/** All that takes something away, of `openPeople`. */
export const taking: Readonly<Record<string, Taking>> = {
  'the erasure of a person': async (privacy, store) =>
    privacy.eraseSubject(store.app.id, await subjectOf(store, 'ann')),
  'a message’s': async (privacy, store) => {
    const group = await groupOf(store);
    const [first] = await messagesOf(store, group);
    return privacy.forgetMessage(store.app.id, group, first!.id as MessageId);
  },
  'a conversation’s, cleared': async (privacy, store) =>
    privacy.clearConversation(store.app.id, await defaultConversationOf(store, 'ann')),
  'a profile’s': async (privacy, store) =>
    privacy.clearProfile(store.app.id, await subjectOf(store, 'ann')),
  'a group’s, deleted': async (privacy, store) =>
    privacy.deleteConversation(store.app.id, await groupOf(store)),
  'days of one person': async (privacy, store) =>
    privacy.forgetDays(store.app.id, {
      fromDay: 0,
      toDay: 60_000,
      subject: await subjectOf(store, 'ann'),
    }),
  'an app’s': (privacy, store) => privacy.eraseApp(store.app.id),
  'days of everybody': (privacy, store) =>
    privacy.forgetDays(store.app.id, { fromDay: 0, toDay: 60_000 }),
};
