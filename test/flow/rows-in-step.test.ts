import { describe, expect, it } from 'vitest';
import { type ConversationId, NO_ID } from '../../libs/base/ids.ts';
import { decodeSealedEvent } from '../../libs/codec/sealed-event.ts';
import { fileOf } from '../../libs/configuration/configuration.ts';
import { openEvents } from '../../libs/keyring/open-events.ts';
import { rowKinds } from '../../libs/vault/rows/vault-store.ts';
import { runDoctor } from '../../services/operations/doctor.ts';
import { turnEpoch } from '../../services/operations/turn-epoch.ts';
import { createPrivacy } from '../../services/privacy/doors/privacy.ts';
import { watchErasures } from '../../services/privacy/life/enforce.ts';
import { received, sent } from '../support/events.ts';
import { groupOf, recordsOf, subjectOf, textsOf } from '../support/reading.ts';
import { openTestStore, type TestStore } from '../support/temporary-store.ts';
import {
  hex,
  kindOf,
  openPeople,
  openVault,
  put,
  type Row,
  rowsOf,
  taking,
} from '../support/vault-rows.ts';

interface Swap {
  readonly what: string;
  readonly taking: string;
  readonly kinds: readonly number[];
  /** After the app was turned, before the turn ends. */
  readonly isLate?: true;
}

const RINGS: readonly number[] = [rowKinds.appRing, rowKinds.ownerRing, rowKinds.placeRing];
const NAMES: readonly number[] = [
  rowKinds.identity,
  rowKinds.alias,
  rowKinds.externalConversation,
  rowKinds.subject,
  rowKinds.conversation,
  rowKinds.member,
];
const KEYS: readonly number[] = [rowKinds.appRoot];

/** Every word on the log that can be opened, and every name that leads to somebody. */
async function readAll(store: TestStore): Promise<string[]> {
  const powers = store.backends.reader();
  const found: string[] = [];
  for await (const { value } of recordsOf(store)) {
    const event = decodeSealedEvent(value);
    const [content] = await openEvents(powers, [event]).catch(() => [undefined]);
    if (content !== undefined) found.push(content.toString('hex'));
  }
  for (const name of ['ann', 'ben']) {
    const leads = await subjectOf(store, name).catch(() => undefined);
    if (leads !== undefined) found.push(name);
  }
  return found;
}

describe('S51 old rows of the vault that somebody without a key writes back', () => {
  describe('of a group that went with its last person, the group’s alone', () => {
    const GROUP: readonly number[] = [
      rowKinds.conversation,
      rowKinds.ownerRing,
      rowKinds.placeRing,
      rowKinds.member,
    ];

    async function endGroup() {
      const store = await openTestStore();
      await store.deliver(received('ann', 'hers', { id: 'a' }));
      await store.deliver(sent(null, 'Dear Ann', { id: 'b' }));
      const group = await groupOf(store);
      const ann = await subjectOf(store, 'ann');
      const database = openVault(fileOf(store.configuration.vault));
      const before = rowsOf(database);
      await createPrivacy(store.backends.privacy()).eraseSubject(store.app.id, ann);
      const now = new Map(rowsOf(database).map((row) => [hex(row), row]));
      const old = before.filter((row) => {
        const isOld = now.get(hex(row))?.version !== row.version;
        return isOld && GROUP.includes(kindOf(row)) && hex(row).slice(34) !== ann;
      });
      return { store, group, database, old };
    }

    const read = (store: TestStore, group: ConversationId) =>
      textsOf(store, group).catch(({ code }: { code: string }) => [code]);

    it('upkeep takes it once more; after T1 nothing of it is read', async () => {
      const { store, group, database, old } = await endGroup();
      put(database, old);
      const again = await store.reopen();
      expect(await read(again, group)).toContain('Dear Ann');
      const checks = await runDoctor(again, () => undefined);
      expect(checks.find(({ name }) => name === 'erasures')).toMatchObject({ passed: false });
      const look = watchErasures(again.backends.privacy(), () => undefined);
      expect((await look()).found).toBe(1);
      expect(await read(again, group)).not.toContain('Dear Ann');
      await turnEpoch(again);
      put(database, old);
      expect(await read(await again.reopen(), group)).not.toContain('Dear Ann');
    });

    it('and without the marks of what was lost: a turn renews its buckets all the same', async () => {
      const { store, group, database, old } = await endGroup();
      database.exec('DELETE FROM vault_dirty');
      await turnEpoch(store);
      put(database, old);
      expect(await read(await store.reopen(), group)).not.toContain('Dear Ann');
    });
  });

  // Old rows lie there only while the turn looks; what it has made of them is put aside.
  it.each<Swap>([
    { what: 'the rings of a person', taking: 'the erasure of a person', kinds: RINGS },
    { what: 'the names of a person', taking: 'the erasure of a person', kinds: NAMES },
    { what: 'all of a person', taking: 'the erasure of a person', kinds: [...RINGS, ...NAMES] },
    { what: 'a place with a message', taking: 'a message’s', kinds: RINGS },
    { what: 'days of one person', taking: 'days of one person', kinds: RINGS },
    { what: 'days of everybody', taking: 'days of everybody', kinds: RINGS },
    { what: 'a place', taking: 'a conversation’s, cleared', kinds: RINGS },
    { what: 'a group', taking: 'a group’s, deleted', kinds: [...RINGS, ...NAMES] },
    { what: 'an app', taking: 'an app’s', kinds: [rowKinds.appRoot, ...RINGS] },
    {
      what: 'the root of an app that was turned',
      taking: 'a message’s',
      kinds: KEYS,
      isLate: true,
    },
  ])('while a turn runs, in step with it: it carries over nothing of $what', async (swap) => {
    let laterMs = 0;
    const store = await openPeople(() => Date.now() + laterMs);
    const database = openVault(fileOf(store.configuration.vault));
    const before = rowsOf(database);
    const texts = await readAll(store);
    await taking[swap.taking]!(createPrivacy(store.backends.privacy()), store);
    const left = await readAll(store);
    expect(left).not.toEqual(texts);
    const isOfSwap = (row: Row) => swap.kinds.includes(kindOf(row) as never);
    const now = new Map(rowsOf(database).map((row) => [hex(row), row]));
    const isOld = (row: Row) => now.get(hex(row))?.version !== row.version;
    const old = before.filter((row) => isOfSwap(row) && (swap.isLate === true || isOld(row)));
    let aside: Row[] = [];
    let whole: Row[] = [];
    const swapping = turnEpoch(store, (step) => {
      const isApp = /^app /.test(step);
      if (step.endsWith(': apps') && !swap.isLate && aside.length === 0) put(database, old);
      if (isApp && swap.isLate) {
        whole = rowsOf(database).filter(isOfSwap);
        put(database, old);
      }
      if (!(swap.isLate ? step.endsWith(': retired') : isApp)) return;
      aside = rowsOf(database).filter((row) => old.some((one) => hex(one) === hex(row)));
      const rest = old.flatMap((row) => now.get(hex(row)) ?? []);
      put(database, swap.isLate ? whole : rest);
      for (const row of swap.isLate ? [] : old.filter((one) => !now.has(hex(one)))) {
        database.prepare('DELETE FROM vault_rows WHERE key = ?').run(row.key);
      }
    });
    const refusal = await swapping.then(
      () => undefined,
      ({ code }: { code: string }) => code,
    );
    if (swap.isLate) put(database, whole);
    const { requests } = store.backends.privacy();
    const isWaiting = async () =>
      (await requests.afterlives()).some(({ t1AtMs }) => t1AtMs === null);
    if (refusal !== undefined || (await isWaiting())) {
      laterMs = 60_000;
      await turnEpoch(store);
    }
    expect(await requests.afterlives()).toMatchObject([{ t1AtMs: expect.any(Number) }]);
    // What the turn made of them; then with whatever else of then it takes to read.
    for (const rows of [aside, [...before.filter((row) => !isOfSwap(row)), ...aside]]) {
      put(
        database,
        rows.filter((row) => !hex(row).startsWith(NO_ID)),
      );
      const read = await store.reopen().then(readAll, ({ code }: { code: string }) => [code]);
      expect(texts.filter((text) => !left.includes(text) && read.includes(text))).toEqual([]);
    }
  });
});
