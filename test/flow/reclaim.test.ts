import { createPublicKey } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { openEnvelope } from '../../libs/audit/dsse.ts';
import { textToDay } from '../../libs/base/day.ts';
import { decodeRecord } from '../../libs/codec/event-record.ts';
import { rebuildViews } from '../../libs/projection/project.ts';
import { turnEpoch } from '../../services/operations/turn-epoch.ts';
import { reclaimDue } from '../../services/operations/upkeep.ts';
import { createPrivacy, type PrivacyOutcome } from '../../services/privacy/doors/privacy.ts';
import { edited, PERSONAL, profile, reacted, received } from '../support/events.ts';
import { MovedClock } from '../support/moved-clock.ts';
import { groupOf, messagesOf, recordsOf, subjectOf, textsOf } from '../support/reading.ts';
import { openTestStore, type TestStore } from '../support/temporary-store.ts';

async function openGroup(): Promise<{ store: TestStore; clock: MovedClock }> {
  const clock = new MovedClock();
  const store = await openTestStore({ clock });
  await store.deliver(
    received('ann', 'hers', { id: '1', displayName: 'Ann' }),
    received('ben', 'his', { id: '2', displayName: 'Ben' }),
    received('ann', 'hers again', { id: '3', time: '2024-05-05T12:00:00.000Z' }),
    received('ben', 'his again', { id: '4', time: '2024-05-06T12:00:00.000Z' }),
    received('ann', 'secret', { id: '5', conversation: PERSONAL }),
    profile('ann', { givenName: 'Ann' }, { id: '6' }),
  );
  await store.deliver(
    edited('ben', '2', 'his, edited', { id: '7' }),
    reacted('ann', '2', '👍', { id: '8' }),
  );
  return { store, clock };
}

/** Every record of the log, by its event's id. */
async function recordsById(store: TestStore): Promise<Map<string, Buffer>> {
  const records = new Map<string, Buffer>();
  for await (const { key, value } of recordsOf(store)) {
    records.set(decodeRecord(key, value).header.eventId, value);
  }
  return records;
}

async function eraseAnn(store: TestStore) {
  const privacy = createPrivacy(store.backends.privacy());
  const outcome = await privacy.eraseSubject(store.app.id, await subjectOf(store, 'ann'));
  await store.project();
  return outcome as Extract<PrivacyOutcome, { status: 'done' }>;
}

/** Does any file of the data hold these bytes? */
function isOnDisk({ folder }: TestStore, bytes: Buffer): boolean {
  return ['lethe.db', 'lethe.db-wal', 'views.db', 'views.db-wal'].some((name) =>
    readFileSync(join(folder, 'data', name)).includes(bytes),
  );
}

describe('reclaim', () => {
  it('leaves everything in place until the horizon has passed, then removes what is lost, and nothing else', async () => {
    const { store, clock } = await openGroup();
    const before = await recordsById(store);
    await eraseAnn(store);
    clock.move(29);
    expect(await reclaimDue(store)).toMatchObject({ losses: 0, records: 0, waiting: 1 });
    expect((await textsOf(store, await groupOf(store))).filter((text) => text === null)).toEqual([
      null,
      null,
    ]);
    clock.move(2);
    const done = await reclaimDue(store);
    expect(done).toMatchObject({ losses: 1, waiting: 0 });
    const after = await recordsById(store);
    const gone = [...before.keys()].filter((id) => !after.has(id));
    expect(gone.length).toBe(done.records);
    // Three messages, a reaction, a profile, a display name, identities, joins: all hers.
    expect(gone.length).toBeGreaterThanOrEqual(6);
    for (const id of gone) {
      // The header's bytes, and the ciphertext, are on no page of log and views any more.
      const record = before.get(id)!;
      expect(isOnDisk(store, record.subarray(12, 44)), id).toBe(false);
      expect(isOnDisk(store, record.subarray(-32)), id).toBe(false);
    }
    for (const [id, record] of before)
      if (!gone.includes(id)) expect(after.get(id)).toEqual(record);
    expect(await textsOf(store, await groupOf(store))).toEqual(['his again', 'his, edited']);
  });

  it('tells of no loss that it is reclaimed while the erasure of its app keeps the events', async () => {
    const { store, clock } = await openGroup();
    await eraseAnn(store);
    clock.move(10);
    await createPrivacy(store.backends.privacy()).eraseApp(store.app.id);
    clock.move(21);
    const early = await reclaimDue(store);
    expect(early).toMatchObject({ losses: 0, records: 0, waiting: 2, kept: 1 });
    clock.move(10);
    const done = await reclaimDue(store);
    expect(done).toMatchObject({ losses: 2, waiting: 0, kept: 0 });
    expect(done.records).toBeGreaterThan(0);
    expect((await recordsById(store)).size).toBe(0);
  });

  it('leaves views that a rebuild gives again, and a log that goes on', async () => {
    const { store, clock } = await openGroup();
    await eraseAnn(store);
    clock.move(31);
    await reclaimDue(store);
    const group = await groupOf(store);
    const before = JSON.stringify(await messagesOf(store, group));
    await rebuildViews(
      store.backends.projector(),
      store.backends.reader().keyring,
      () => undefined,
    );
    expect(JSON.stringify(await messagesOf(store, group))).toBe(before);
    const { log } = store.backends.reader();
    const ends = await log.endOffsets();
    const [late] = await store.deliver(received('ben', 'later', { id: '9' }));
    expect(late!.status).toBe('accepted');
    expect((await log.endOffsets()).reduce((a, b) => a + b)).toBe(ends.reduce((a, b) => a + b) + 1);
    await rebuildViews(
      store.backends.projector(),
      store.backends.reader().keyring,
      () => undefined,
    );
    expect(await textsOf(store, group)).toContain('later');
    expect(await log.deadLetters.list()).toEqual([]);
    expect(await reclaimDue(store)).toMatchObject({ losses: 0, records: 0, waiting: 0 });
  });

  it('takes forgotten messages, cleared conversations, days and apps, each on its own day', async () => {
    const { store, clock } = await openGroup();
    const privacy = createPrivacy(store.backends.privacy());
    const { id } = store.app;
    const group = await groupOf(store);
    const [, , hers] = await messagesOf(store, group);
    expect(hers!.content!.text).toBe('hers');
    await privacy.forgetMessage(id, group, hers!.id as never);
    clock.move(10);
    await privacy.forgetDays(id, {
      fromDay: textToDay('2024-05-05'),
      toDay: textToDay('2024-05-05'),
    });
    await store.project();
    clock.move(21);
    const texts = ['hers again', 'his again', 'hers', 'his, edited'];
    // The message is due, the day is not: its placeholder stays.
    expect(await reclaimDue(store)).toMatchObject({ losses: 1, records: 1, waiting: 1 });
    expect(await textsOf(store, group)).toEqual([null, texts[1], texts[3]]);
    clock.move(10);
    await reclaimDue(store);
    expect(await textsOf(store, group)).toEqual([texts[1], texts[3]]);
    await privacy.clearConversation(id, group);
    await store.deliver(received('ben', 'anew', { id: '10' }));
    clock.move(31);
    await reclaimDue(store);
    expect(await textsOf(store, group)).toEqual(['anew']);
    await privacy.eraseApp(id);
    clock.move(31);
    await reclaimDue(store);
    expect([...(await recordsById(store)).keys()]).toEqual([]);
  });

  it('completes the certificate, as the turn of the epoch does', async () => {
    const { store, clock } = await openGroup();
    const outcome = await eraseAnn(store);
    const read = () => {
      const folder = join(store.folder, 'certificates');
      const publicKey = createPublicKey(readFileSync(join(folder, 'public-key.pem')));
      return openEnvelope(readFileSync(outcome.certificate!.file, 'utf8'), publicKey);
    };
    const issued = read();
    expect(issued.predicate).toMatchObject({ t1: { at: 'pending' }, reclaim: { at: 'pending' } });
    clock.move(1);
    const { turn } = await turnEpoch(store);
    const t1 = { at: new Date(turn.t1AtMs!).toISOString() };
    expect(read().predicate).toMatchObject({ t1, reclaim: { at: 'pending' } });
    clock.move(31);
    await reclaimDue(store);
    const completed = read();
    expect(completed.predicate).toMatchObject({
      t1,
      reclaim: { at: expect.stringMatching(/^20/) },
    });
    expect(completed.subject).toEqual(issued.subject);
    expect(completed.predicate.t0).toEqual(issued.predicate.t0);
    expect(await store.backends.privacy().requests.afterlives()).toEqual([]);
  });

  it('is finished by running it again when it ended between log and views', async () => {
    const { store, clock } = await openGroup();
    await eraseAnn(store);
    clock.move(31);
    const powers = store.backends.privacy();
    const { reclaim } = await import('../../services/privacy/life/reclaim.ts');
    const rebuildFails = () => Promise.reject(new Error('the machine ends here'));
    await expect(reclaim(powers, { rebuildViews: rebuildFails })).rejects.toThrow('ends here');
    expect((await powers.requests.afterlives()).length).toBe(1);
    expect(await reclaimDue(store)).toMatchObject({ losses: 1, records: 0 });
    expect(await textsOf(store, await groupOf(store))).toEqual(['his again', 'his, edited']);
  });
});
