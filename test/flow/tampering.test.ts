import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { describe, expect, it } from 'vitest';
import {
  decodeSealedEvent,
  encodeHeader,
  encodeSealedEvent,
} from '../../libs/codec/sealed-event.ts';
import { createPrivacy } from '../../services/privacy/doors/privacy.ts';
import { readStream } from '../../services/reader/live-stream.ts';
import { received } from '../support/events.ts';
import { groupOf, messagesOf, subjectOf, textsOf } from '../support/reading.ts';
import { openTestStore, type TestStore } from '../support/temporary-store.ts';

describe('a ring that is missing', () => {
  it('a ring that sealed an event and is missing is tampering, not an erase', async () => {
    const store = await openTestStore();
    await store.deliver(received('ann', 'words'));
    const ann = await subjectOf(store, 'ann');
    const vault = store.backends.vaultStore();
    for await (const row of vault.scan(12, store.app.id)) {
      if (row.id === ann) await vault.commit([{ removals: [row] }]);
    }
    const cold = await store.reopen();
    const read = messagesOf(cold, await groupOf(cold));
    await expect(read).rejects.toMatchObject({ code: 'EVENT_TAMPERED' });
  });
});

/** The record of a message's event, which names another cipher or format. */
function withHeader(record: Buffer, changed: { cipher?: number; formatVersion?: number }): Buffer {
  const event = decodeSealedEvent(record);
  const headerBytes = encodeHeader({ ...event.header, ...changed });
  return encodeSealedEvent({ ...event, headerBytes });
}

/** Edits the files of a store, as somebody who has the disk does. */
function replaceRecord(store: TestStore, where: 'log' | 'views', [from, to]: readonly Buffer[]) {
  const file = where === 'log' ? 'lethe.db' : 'views.db';
  const database = new DatabaseSync(join(store.folder, 'data', file));
  const sql = 'SELECT generation AS g FROM view_generations';
  const g = where === 'log' ? undefined : database.prepare(sql).get()!.g;
  const [table, column] = g === undefined ? ['log_records', 'value'] : [`messages_${g}`, 'record'];
  const update = `UPDATE ${table} SET ${column} = ? WHERE ${column} = ?`;
  expect(database.prepare(update).run(to!, from!).changes).toBe(1);
  database.close();
}

/** The types of everything that a stream from the start hands out. */
async function streamTypes({ backends, app }: TestStore): Promise<string[]> {
  const reader = backends.reader();
  const types: string[] = [];
  for (let partition = 0; partition < reader.log.partitions; partition += 1) {
    for (const { open } of await readStream(reader, app.id, { partition, offset: 0 })) {
      const opened = await open?.(reader);
      if (opened !== undefined) types.push(opened.type);
    }
  }
  return types;
}

describe('an event that names a cipher of a newer version', () => {
  it('keeps no consumer of the stream from what lies behind it, and is gone once it is forgotten', async () => {
    const store = await openTestStore();
    await store.deliver(
      received('ann', 'first', { id: '1' }),
      received('ann', 'second', { id: '2' }),
    );
    const group = await groupOf(store);
    const [first] = await messagesOf(store, group);
    const before = await streamTypes(store);
    const { record } = (await store.backends.reader().views.message(first!.id as never))!;
    const changed = [record, withHeader(record, { cipher: 2 })];
    replaceRecord(store, 'log', changed);
    replaceRecord(store, 'views', changed);
    const cold = await store.reopen();
    await expect(messagesOf(cold, group)).rejects.toMatchObject({ code: 'FORMAT_UNKNOWN' });
    const after = await streamTypes(cold);
    expect(after.length).toBe(before.length);
    expect(after).toContain('event:unreadable');
    const privacy = createPrivacy(cold.backends.privacy());
    await privacy.forgetMessage(cold.app.id, group, first!.id as never);
    await cold.project();
    expect(await textsOf(cold, group)).toEqual([null, 'second']);
    expect(await streamTypes(cold)).not.toContain('event:unreadable');
  });

  it.each([{ cipher: 2 }, { formatVersion: 2 }])(
    'does no harm in a cache: the page is read from the views (%o)',
    async (header) => {
      const store = await openTestStore();
      await store.deliver(received('ann', 'words', { id: '1' }));
      const group = await groupOf(store);
      const [message] = await messagesOf(store, group);
      const { record } = (await store.backends.reader().views.message(message!.id as never))!;
      const changed = [record, withHeader(record, header)];
      replaceRecord(store, 'views', changed);
      const cold = await store.reopen();
      await expect(messagesOf(cold, group)).rejects.toMatchObject({ code: 'FORMAT_UNKNOWN' });
      replaceRecord(store, 'views', changed.toReversed());
      const page = { app: cold.app.id, conversation: group };
      const request = { after: '00', limit: 100_000 };
      expect((await cold.backends.reader().pages.page(page, request)).isCached).toBe(true);
      expect(await textsOf(cold, group)).toEqual(['words']);
    },
  );
});
