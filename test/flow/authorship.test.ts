import { DatabaseSync } from 'node:sqlite';
import { setTimeout as sleep } from 'node:timers/promises';
import { describe, expect, it } from 'vitest';
import { fileOf } from '../../libs/configuration/configuration.ts';
import { createPrivacy } from '../../services/privacy/doors/privacy.ts';
import { runOpenRequests } from '../../services/privacy/life/request-worker.ts';
import {
  edited,
  identity,
  joined,
  PERSONAL,
  reacted,
  receipt,
  received,
  removed,
  sent,
} from '../support/events.ts';
import {
  defaultConversationOf,
  groupOf,
  messagesOf,
  subjectOf,
  textsOf,
} from '../support/reading.ts';
import { openAt, openTestStore, type TestStore } from '../support/temporary-store.ts';

const named = { type: 'personal', externalId: 'chat-1' };
const NOT_HIS = { status: 'rejected', error: { code: 'not_the_author', retryable: false } };
const ID_TAKEN = { status: 'rejected', error: { code: 'id_taken', retryable: false } };

const statuses = async (delivered: ReturnType<TestStore['deliver']>) =>
  (await delivered).map(({ status }) => status);

const carryOut = async (store: TestStore) => {
  const done = await runOpenRequests(store.backends.privacy());
  await store.project();
  return done;
};

/** Is nobody known as this? */
const isUnknown = async (store: TestStore, name: string) => {
  const { directory } = store.backends.reader();
  return (await directory.findSubjects(store.app.id, [identity(name)]))[0] === undefined;
};

describe('whose words a delivery may change', () => {
  it('S53 nobody edits, removes, reacts or reads in another person’s conversation', async () => {
    const store = await openTestStore();
    await store.deliver(
      received('ann', 'hers', { id: 'a', conversation: named }),
      received('ben', 'x'),
    );
    const outcomes = await store.deliver(
      edited('ben', 'a', 'ben’s words', { conversation: named }),
      removed('a', { conversation: named, by: 'ben' }),
      reacted('ben', 'a', '👎', { conversation: named }),
      receipt('ben', 'a', 'read', { conversation: named }),
    );
    expect(outcomes.map((one) => one.status)).toEqual(new Array(4).fill('rejected'));
    expect(await carryOut(store)).toBe(0);
    const [message] = await messagesOf(store, await groupOf(store, 'chat-1', { of: 'ann' }));
    expect(message!.content!.text).toBe('hers');
    expect(message!.reactions).toBeUndefined();
  });

  it('S53 nobody edits or removes another’s message in a group; the business removes any', async () => {
    const store = await openTestStore();
    await store.deliver(received('ann', 'hers', { id: 'a' }), joined('ben'));
    const outcomes = await store.deliver(
      edited('ben', 'a', 'ben’s words', { id: 'edit' }),
      removed('a', { by: 'ben' }),
      removed('a', { by: 'a stranger' }),
    );
    expect(outcomes).toMatchObject([NOT_HIS, NOT_HIS, NOT_HIS]);
    expect(await carryOut(store)).toBe(0);
    const group = await groupOf(store);
    expect(await textsOf(store, group)).toEqual(['hers']);
    expect(await statuses(store.deliver(removed('a')))).toEqual(['accepted']);
    expect(await carryOut(store)).toBe(1);
    expect(await textsOf(store, group)).toEqual([null]);
  });

  it('S53 a customer neither edits nor removes what the business said to them', async () => {
    const store = await openTestStore();
    await store.deliver(
      received('ann', 'a question', { id: 'q', conversation: PERSONAL }),
      sent('ann', 'the price is 90', { id: 'a' }),
    );
    const outcomes = await store.deliver(
      edited('ann', 'a', 'the price is 9', { conversation: PERSONAL }),
      removed('a', { conversation: PERSONAL, by: 'ann' }),
    );
    expect(outcomes).toMatchObject([NOT_HIS, NOT_HIS]);
    const conversation = await defaultConversationOf(store, 'ann');
    expect(await textsOf(store, conversation)).toEqual(['a question', 'the price is 90']);
  });

  it('S53 an edit that comes before its message is to be sent again, and rewrites nobody’s', async () => {
    const store = await openTestStore();
    await store.deliver(received('ann', 'a question', { id: 'q', conversation: PERSONAL }));
    const edit = edited('ann', 'a', 'the price is 9', { conversation: PERSONAL });
    const early = { status: 'rejected', error: { code: 'message_unknown', retryable: true } };
    expect(await store.deliver(edit)).toMatchObject([early]);
    expect(
      await statuses(store.deliver(sent('ann', 'the price is 90', { id: 'a' }), edit)),
    ).toEqual(['accepted', 'rejected']);
    const conversation = await defaultConversationOf(store, 'ann');
    expect(await textsOf(store, conversation)).toEqual(['a question', 'the price is 90']);
  });

  it('S53 a person edits and removes what they wrote also when their profile was cleared since', async () => {
    const store = await openTestStore();
    await store.deliver(
      received('ann', 'hers', { id: 'a', conversation: PERSONAL, displayName: 'Ann' }),
      received('ann', 'oops', { id: 'b', conversation: PERSONAL }),
    );
    const conversation = await defaultConversationOf(store, 'ann');
    const privacy = createPrivacy(store.backends.privacy());
    await privacy.clearProfile(store.app.id, await subjectOf(store, 'ann'));
    const own = [
      edited('ann', 'a', 'corrected', { conversation: PERSONAL }),
      removed('b', { conversation: PERSONAL, by: 'ann' }),
    ];
    expect(await statuses(store.deliver(...own))).toEqual(['accepted', 'accepted']);
    expect(await carryOut(store)).toBe(1);
    expect(await textsOf(store, conversation)).toEqual(['corrected', null]);
  });

  it('what the ledger has forgotten is removed as the views have it, or refused, never waited for', async () => {
    let nowMs = Date.parse('2026-01-01T00:00:00Z');
    const store = await openTestStore({ clock: { nowMs: () => nowMs } });
    const time = '2026-01-01T00:00:00Z';
    await store.deliver(
      received('ann', 'hers', { id: 'a', conversation: PERSONAL, time }),
      received('ann', 'said to all', { id: 'b', time }),
    );
    nowMs += 40 * 86_400_000;
    expect(await store.ingest.sweep()).toBe(2);
    const unknown = { status: 'rejected', error: { code: 'message_unknown', retryable: true } };
    const [lost, found, own] = await store.deliver(
      removed('a', { conversation: PERSONAL }),
      removed('b'),
      removed('a', { conversation: PERSONAL, by: 'ann' }),
    );
    expect(lost).toMatchObject(unknown);
    expect([found!.status, own!.status]).toEqual(['accepted', 'accepted']);
    expect(await carryOut(store)).toBe(2);
    expect(await textsOf(store, await groupOf(store))).toEqual([null]);
  });

  it('a person edits and removes their own message, also after a restart', async () => {
    let store = await openTestStore();
    await store.deliver(received('ann', 'hers', { id: 'a' }), received('ann', 'oops', { id: 'b' }));
    store = await store.reopen();
    const own = [edited('ann', 'a', 'corrected'), removed('b', { by: 'ann' })];
    expect(await statuses(store.deliver(...own))).toEqual(['accepted', 'accepted']);
    expect(await carryOut(store)).toBe(1);
    expect(await textsOf(store, await groupOf(store))).toEqual(['corrected', null]);
  });
});

describe('a removal of a message that the views cannot tell of', () => {
  it('is to be sent again: it does not wait for what is there', async () => {
    let nowMs = Date.parse('2026-01-01T00:00:00Z');
    const store = await openTestStore({ clock: { nowMs: () => nowMs } });
    await store.deliver(received('ann', 'hers', { id: 'a', time: '2026-01-01T00:00:00Z' }));
    nowMs += 40 * 86_400_000;
    expect(await store.ingest.sweep()).toBe(1);
    const views = new DatabaseSync(fileOf(store.configuration.views));
    const { g } = views.prepare('SELECT generation AS g FROM view_generations').get()!;
    const row = views.prepare(`SELECT record FROM messages_${g}`).get()!;
    const write = views.prepare(`UPDATE messages_${g} SET record = ?`);
    write.run(Buffer.of(0));
    const removal = removed('a', { by: 'ann' });
    const again = { status: 'rejected', error: { code: 'message_unknown', retryable: true } };
    expect(await store.accept(removal)).toMatchObject([again]);
    write.run(row.record as Uint8Array);
    views.close();
    expect(await statuses(store.deliver(removal))).toEqual(['accepted']);
    expect(await carryOut(store)).toBe(1);
  });
});

describe('very many copies of what is refused', () => {
  it('are answered alike, and at once', async () => {
    const store = await openTestStore();
    await store.deliver(received('ann', 'hers', { id: 'a' }), received('ben', 'his'));
    const copies = new Array(1_000).fill(edited('ben', 'a', 'mine now', { id: 'e' }));
    const began = performance.now();
    const outcomes = await store.accept(...copies, removed('a', { by: 'ben' }));
    expect(outcomes.length).toBe(1_001);
    for (const outcome of outcomes) expect(outcome).toMatchObject(NOT_HIS);
    expect(performance.now() - began).toBeLessThan(5_000);
  });
});

describe('a removal that comes before its message', () => {
  const removal = removed('late', { by: 'ann', id: 'r' });

  it('waits for it: the message is answered as erased, and nothing of it is on the log', async () => {
    let store = await openTestStore();
    await store.deliver(received('ann', 'before', { id: 'first' }));
    expect(await statuses(store.deliver(removal))).toEqual(['accepted']);
    expect(await statuses(store.deliver(removal))).toEqual(['duplicate']);
    store = await store.reopen();
    const late = received('ann', 'late', { id: 'late' });
    expect(await statuses(store.deliver(late))).toEqual(['erased']);
    expect(await statuses(store.deliver(late))).toEqual(['erased']);
    expect(await carryOut(store)).toBe(0);
    expect(await textsOf(store, await groupOf(store))).toEqual(['before']);
  });

  it('takes nobody else’s message of that id, and makes nobody', async () => {
    const store = await openTestStore();
    await store.deliver(removed('late', { by: 'mallory' }));
    expect(await statuses(store.deliver(received('ann', 'hers', { id: 'late' })))).toEqual([
      'accepted',
    ]);
    expect(await textsOf(store, await groupOf(store))).toEqual(['hers']);
    expect(await isUnknown(store, 'mallory')).toBe(true);
    expect(await carryOut(store)).toBe(0);
  });

  it('meets it in either order of one batch, and is carried out', async () => {
    for (const isFirst of [true, false]) {
      const store = await openTestStore();
      const late = received('ann', 'late', { id: 'late' });
      const batch = isFirst ? [removal, late] : [late, removal];
      expect(await statuses(store.deliver(...batch))).toEqual(['accepted', 'accepted']);
      expect(await carryOut(store)).toBe(1);
      expect(await textsOf(store, await groupOf(store))).toEqual([null]);
    }
  });

  it('of two processes at once, one of them sees the other: the message never stays', async () => {
    const outcomes = new Set<string>();
    for (let n = 0; n < 30; n += 1) {
      const one = await openTestStore();
      await one.deliver(received('ann', 'before', { id: 'first' }));
      const other = await openAt(one.folder, {}, one.app.id);
      const late = received('ann', 'late', { id: 'late' });
      // Each is ahead by now and then.
      const both = await Promise.all([
        sleep(n % 3).then(() => one.accept(late)),
        sleep(n % 2).then(() => other.accept(removal)),
      ]);
      outcomes.add(both.map(([outcome]) => outcome!.status).join(' '));
      await runOpenRequests(other.backends.privacy());
      await other.project();
      const texts = await textsOf(other, await groupOf(other));
      expect(texts.filter((text) => text !== null)).toEqual(['before']);
      await other.ingest.close();
      await other.backends.close();
    }
    expect([...outcomes].every((both) => both.endsWith(' accepted'))).toBe(true);
  }, 60_000);
});

describe('S52 deliveries of other people or types under one (source, id)', () => {
  const hers = received('ann', 'hers', { id: 'one', conversation: PERSONAL });
  const others: [string, object][] = [
    ['another person’s', received('ben', 'his', { id: 'one', conversation: PERSONAL })],
    ['the business’s', sent('ann', 'reply', { id: 'one' })],
    ['her own in a group', received('ann', 'hers', { id: 'one' })],
  ];

  it.each(others)('are rejected with a reason, whichever comes first: %s', async (_, other) => {
    for (const [first, second] of [
      [hers, other],
      [other, hers],
    ]) {
      let store = await openTestStore();
      expect(await statuses(store.deliver(first!))).toEqual(['accepted']);
      expect(await store.deliver(second!)).toMatchObject([ID_TAKEN]);
      store = await store.reopen();
      expect(await store.deliver(second!)).toMatchObject([ID_TAKEN]);
      expect(await statuses(store.deliver(first!))).toEqual(['duplicate']);
    }
    const store = await openTestStore();
    const [one, two] = await store.deliver(hers, other, hers);
    expect([one!.status, two]).toMatchObject(['accepted', ID_TAKEN]);
  });

  it('two edits under one id of two messages are not taken for one', async () => {
    const store = await openTestStore();
    await store.deliver(received('ann', 'a', { id: 'a' }), received('ann', 'b', { id: 'b' }));
    const outcomes = await store.deliver(
      edited('ann', 'a', 'A', { id: 'e' }),
      edited('ann', 'b', 'B', { id: 'e' }),
    );
    expect(outcomes).toMatchObject([{ status: 'accepted' }, ID_TAKEN]);
  });

  it('are known again from the views when the ledger has forgotten them', async () => {
    const day = 86_400_000;
    let nowMs = Date.parse('2026-01-01T00:00:00Z');
    const store = await openTestStore({ clock: { nowMs: () => nowMs } });
    const group = { id: 'one', time: '2026-01-01T00:00:00Z' };
    await store.deliver(received('ann', 'hers', group));
    nowMs += 40 * day;
    expect(await store.ingest.sweep()).toBe(1);
    const later = { ...group, time: new Date(nowMs).toISOString() };
    expect(await statuses(store.deliver(received('ann', 'hers', later)))).toEqual(['duplicate']);
    expect(await store.deliver(received('ben', 'his', later))).toMatchObject([ID_TAKEN]);
    expect(await store.deliver(sent(null, 'reply', later))).toMatchObject([ID_TAKEN]);
    expect(await textsOf(store, await groupOf(store))).toEqual(['hers']);
  });
});

describe('what is refused', () => {
  it('leaves nobody behind: neither an edit, a removal, a reaction nor a receipt makes a person', async () => {
    const store = await openTestStore();
    await store.deliver(received('ann', 'hers', { id: 'a', conversation: PERSONAL }));
    const outcomes = await store.deliver(
      edited('mallory', 'a', 'x', { conversation: PERSONAL }),
      removed('a', { conversation: PERSONAL, by: 'mallory' }),
      reacted('mallory', 'a', 'x', { conversation: PERSONAL }),
      receipt('mallory', 'a', 'read', { conversation: PERSONAL }),
    );
    expect(outcomes.map((one) => one.status)).toEqual(new Array(4).fill('rejected'));
    expect(await isUnknown(store, 'mallory')).toBe(true);
  });

  it('is a reaction, an edit or a receipt that names a group which nobody knows: nothing is written', async () => {
    const store = await openTestStore();
    await store.deliver(received('ann', 'hers', { id: 'a' }), received('ben', 'his'));
    const conversation = { type: 'sdkGroup', externalId: 'nobody-knows-it' };
    const outcomes = await store.deliver(
      reacted('ben', 'a', '👍', { conversation }),
      edited('ann', 'a', 'x', { conversation }),
      receipt('ben', 'a', 'read', { conversation }),
    );
    const error = { code: 'conversation_mismatch', retryable: false };
    expect(outcomes).toMatchObject(new Array(3).fill({ status: 'rejected', error }));
    const [hers] = await messagesOf(store, await groupOf(store));
    expect(hers!.content).toEqual({ type: 'text', text: 'hers' });
    expect(JSON.stringify(hers)).not.toContain('👍');
  });
});
