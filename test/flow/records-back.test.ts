import { renameSync } from 'node:fs';
import { join } from 'node:path';
import type { DatabaseSync } from 'node:sqlite';
import { describe, expect, it, onTestFinished } from 'vitest';
import { textToDay } from '../../libs/base/day.ts';
import type { LossId, RequestId } from '../../libs/base/ids.ts';
import { fileOf } from '../../libs/configuration/configuration.ts';
import { ringKinds } from '../../libs/sealing/tree-path.ts';
import { rowKinds } from '../../libs/vault/rows/vault-store.ts';
import { makeBackup } from '../../services/operations/backup.ts';
import { restore } from '../../services/operations/restore.ts';
import { turnEpoch } from '../../services/operations/turn-epoch.ts';
import { createPrivacy } from '../../services/privacy/doors/privacy.ts';
import { watchErasures } from '../../services/privacy/life/enforce.ts';
import { runOpenRequests } from '../../services/privacy/life/request-worker.ts';
import { received, removed, sent } from '../support/events.ts';
import { quietRestore } from '../support/friends.ts';
import { groupOf, subjectOf, textsOf } from '../support/reading.ts';
import { eraseAnn, lookTwice } from '../support/request-rows.ts';
import { openAt, openTestStore, type TestStore } from '../support/temporary-store.ts';
import {
  hex,
  kindOf,
  openPeople,
  openVault,
  put,
  type Row,
  rowsOf,
} from '../support/vault-rows.ts';

// Who can write the tables of state and vault, but holds no key, writes rows of requests back, or
// takes them away, so that what they write back of the vault is passed over.

const privacyOf = (store: TestStore) => createPrivacy(store.backends.privacy());

describe('S51 rows beside those that are written back', () => {
  /** A row of a kind that nobody made, in the app. */
  function makeUp(vault: DatabaseSync, store: TestStore, kind: number): void {
    const app = Buffer.from(store.app.id, 'hex');
    const key = Buffer.concat([app, Buffer.of(kind), Buffer.alloc(16, 7)]);
    vault
      .prepare(`INSERT INTO vault_rows VALUES (?, 0, 1, 1, ?, NULL, x'', x'', ?, NULL, NULL, NULL)`)
      .run(key, Buffer.alloc(16, 5), Buffer.alloc(60, 1));
  }

  it('a made-up hold keeps nothing from being taken once more, and no one from being erased', async () => {
    const store = await openPeople();
    const { vault, old } = await eraseAnn(store);
    put(vault, old);
    makeUp(vault, store, rowKinds.hold);
    const again = await store.reopen();
    expect((await lookTwice(again)).join()).toContain('was there again');
    expect(await textsOf(again, await groupOf(again))).toEqual([null, 'his']);
    const ben = await subjectOf(again, 'ben');
    expect((await privacyOf(again).eraseSubject(again.app.id, ben)).status).toBe('done');
  });

  it('a hold that somebody writes beside a ring refuses nothing', async () => {
    const store = await openPeople();
    const group = await groupOf(store);
    const { changes } = openVault(fileOf(store.configuration.vault))
      .prepare('UPDATE vault_rows SET holds = ? WHERE hex(substr(key, 17)) = ?')
      .run(Buffer.alloc(16, 7), `0C${group.toUpperCase()}`);
    expect(Number(changes)).toBe(1);
    const again = await store.reopen();
    const deleted = await privacyOf(again).deleteConversation(again.app.id, group);
    expect(deleted.status).toBe('done');
  });

  it('a damaged entry of one who was erased hides nobody whom they were merged with', async () => {
    const store = await openPeople();
    const [ann, ben] = [await subjectOf(store, 'ann'), await subjectOf(store, 'ben')];
    const privacy = privacyOf(store);
    expect(await privacy.merge(store.app.id, ann, ben)).toBe('merged');
    const { vault, old } = await eraseAnn(store);
    const entry = old.find((row) => {
      return kindOf(row) === rowKinds.subject && hex(row).endsWith(ann);
    })!;
    const damaged = { ...entry, wrapped: Buffer.from(entry.wrapped as Uint8Array) };
    damaged.wrapped[20]! ^= 1;
    put(vault, [...old.filter((row) => hex(row).endsWith(ben)), damaged]);
    const again = await store.reopen();
    const look = watchErasures(again.backends.privacy(), () => undefined);
    const ring = { app: again.app.id, kind: ringKinds.owner, id: ben };
    const outcome = () => {
      return again.backends.reader().keyring.use([ring], async ([one]) => String(one));
    };
    expect(await outcome()).not.toBe('erased');
    await look().catch(() => undefined);
    expect(await outcome()).toBe('erased');
  });

  it('a damaged entry of a deleted group keeps its rings from nothing', async () => {
    const store = await openPeople();
    const group = await groupOf(store);
    const vault = openVault(fileOf(store.configuration.vault));
    const rings: number[] = [rowKinds.ownerRing, rowKinds.placeRing];
    const before = rowsOf(vault);
    await privacyOf(store).deleteConversation(store.app.id, group);
    const now = new Map(rowsOf(vault).map((row) => [hex(row), row]));
    const old = before.filter((row) => {
      return rings.includes(kindOf(row)) && now.get(hex(row))?.version !== row.version;
    });
    put(vault, old);
    const entry = rowsOf(vault).find((row) => {
      return kindOf(row) === rowKinds.conversation && hex(row).endsWith(group);
    })!;
    (entry.wrapped as Uint8Array)[20]! ^= 1;
    put(vault, [entry]);
    const again = await store.reopen();
    const look = watchErasures(again.backends.privacy(), () => undefined);
    await look().catch(() => undefined);
    const refs = old.map((row) => ({
      app: again.app.id,
      kind: kindOf(row) === rowKinds.ownerRing ? 2 : 3,
      id: hex(row).slice(34),
    }));
    await again.backends.reader().keyring.use(refs as never, async (outcomes) => {
      expect(outcomes.every((one) => one === 'erased')).toBe(true);
    });
    expect((await turnEpoch(again)).turn.failedApps).toEqual([]);
  });

  it('a name that a turn leaves behind is removed: who has it later is taken in', async () => {
    const store = await openPeople();
    const { vault, old } = await eraseAnn(store);
    put(
      vault,
      old.filter((row) => kindOf(row) === rowKinds.identity),
    );
    const again = await store.reopen();
    await turnEpoch(again);
    const outcomes = await again.accept(received('ann', 'anew', { id: 'z' }));
    expect(outcomes.map(({ status }) => status)).toEqual(['accepted']);
  });
});

describe('S51 a backup that somebody without a key has edited', () => {
  async function eraseAfterBackup(edit: (vault: DatabaseSync, store: TestStore) => void) {
    const store = await openPeople();
    const { folder } = await makeBackup(store, join(store.folder, 'kept'), Date.now());
    await eraseAnn(store);
    const copy = openVault(join(folder, 'vault.db'));
    edit(copy, store);
    copy.close();
    await store.ingest.close();
    await store.backends.close();
    renameSync(join(store.folder, 'data'), join(store.folder, 'lost'));
    return { store, folder };
  }

  it('by a made-up hold, or a flipped bit in one, brings nobody back', async () => {
    const { store, folder } = await eraseAfterBackup((vault, { app }) => {
      const key = Buffer.concat([
        Buffer.from(app.id, 'hex'),
        Buffer.of(rowKinds.hold),
        Buffer.alloc(16, 7),
      ]);
      vault
        .prepare(
          `INSERT INTO vault_rows VALUES (?, 0, 1, 1, ?, NULL, x'', x'', ?, NULL, NULL, NULL)`,
        )
        .run(key, Buffer.alloc(16, 5), Buffer.alloc(60, 1));
    });
    await restore(store.configuration, folder, quietRestore);
    const back = await openAt(store.folder, {}, store.app.id);
    onTestFinished(() => back.backends.close());
    expect(await textsOf(back, await groupOf(back))).toEqual([null, 'his']);
  });

  it('is refused where what was taken since can be read in what it would become', async () => {
    const store = await openPeople();
    const { folder } = await makeBackup(store, join(store.folder, 'kept'), Date.now());
    await eraseAnn(store);
    const state = openVault(join(folder, 'lethe.db'));
    state.exec('CREATE TRIGGER gone AFTER INSERT ON requests BEGIN DELETE FROM requests; END');
    state.close();
    await store.ingest.close();
    await store.backends.close();
    renameSync(join(store.folder, 'data'), join(store.folder, 'lost'));
    const restoring = restore(store.configuration, folder, quietRestore);
    await expect(restoring).rejects.toMatchObject({ code: 'CONTENDED' });
  });

  it('that has a request which a later hold has refused takes nothing for it', async () => {
    const store = await openPeople();
    const { privacy: powersOf } = store.backends;
    const ann = await subjectOf(store, 'ann');
    const [id, loss] = ['ab'.repeat(16) as RequestId, 'cd'.repeat(16) as LossId];
    const times = { receivedAtMs: Date.now(), changedAtMs: Date.now() };
    const request = { id, loss, app: store.app.id, kind: 'erase-subject' as const, ...times };
    await powersOf().requests.add({ ...request, target: { subject: ann }, step: 'begun' });
    const { folder } = await makeBackup(store, join(store.folder, 'mine'), Date.now());
    await powersOf().requests.drop(id);
    expect((await privacyOf(store).hold(store.app.id, ann)).status).toBe('held');
    // It was asked for anew, and refused, by who goes on with what was interrupted.
    await powersOf().requests.add({ ...request, target: { subject: ann }, step: 'begun' });
    await expect(runOpenRequests(powersOf())).rejects.toMatchObject({ code: 'HELD' });
    await store.ingest.close();
    await store.backends.close();
    renameSync(join(store.folder, 'data'), join(store.folder, 'lost'));
    await restore(store.configuration, folder, quietRestore);
    const back = await openAt(store.folder, {}, store.app.id);
    onTestFinished(() => back.backends.close());
    expect(await textsOf(back, await groupOf(back))).toEqual(['hers', 'his']);
    const listed = (await back.backends.privacy().erasures.read()).map(({ kind }) => kind);
    expect(listed).toEqual(['hold', 'withdrawn']);
  });

  it('that has a request which a hold refuses is restored all the same', async () => {
    const store = await openTestStore();
    await store.deliver(received('ann', 'hers', { id: 'a' }), sent(null, 'hello', { id: 'b' }));
    await privacyOf(store).hold(store.app.id, await subjectOf(store, 'ann'));
    await store.deliver(removed('a'));
    const { folder } = await makeBackup(store, join(store.folder, 'kept'), Date.now());
    await store.ingest.close();
    await store.backends.close();
    renameSync(join(store.folder, 'data'), join(store.folder, 'lost'));
    const { left } = await restore(store.configuration, folder, quietRestore);
    expect(left.join()).toContain('legal hold');
  });
});

describe('a hold', () => {
  it('that was released does not come back when T1 of its release was told', async () => {
    const store = await openPeople();
    const ann = await subjectOf(store, 'ann');
    const held = await privacyOf(store).hold(store.app.id, ann);
    if (held.status !== 'held') throw new Error(held.status);
    const told: string[] = [];
    const look = watchErasures(store.backends.privacy(), ({ message }) => told.push(message));
    await look();
    await privacyOf(store).release(store.app.id, ann, held.hold);
    await turnEpoch(store);
    for (let i = 0; i < 2; i += 1) await look();
    expect([...told, ...(await lookTwice(store))]).toEqual([]);
    expect((await privacyOf(store).eraseSubject(store.app.id, ann)).status).toBe('done');
    expect(await lookTwice(store)).toEqual([]);
  });

  it('of another person is not released', async () => {
    const store = await openPeople();
    const [ann, ben] = [await subjectOf(store, 'ann'), await subjectOf(store, 'ben')];
    const held = await privacyOf(store).hold(store.app.id, ann);
    if (held.status !== 'held') throw new Error(held.status);
    const released = await privacyOf(store).release(store.app.id, ben, held.hold);
    expect(released.status).toBe('notFound');
  });

  it('keeps no days that had gone before it, though old rows of them were written back', async () => {
    const store = await openTestStore();
    const in2024 = { time: '2024-06-01T12:00:00.000Z' };
    await store.deliver(
      received('ann', 'ann 2024', { id: 'a', ...in2024 }),
      received('ben', 'ben 2025', { id: 'b' }),
    );
    const group = await groupOf(store);
    const vault = openVault(fileOf(store.configuration.vault));
    const isAppRing = (row: Row) => kindOf(row) === rowKinds.appRing;
    const before = rowsOf(vault).filter(isAppRing);
    const year = { fromDay: textToDay('2024-01-01'), toDay: textToDay('2024-12-31') };
    await privacyOf(store).forgetDays(store.app.id, year);
    await privacyOf(store).hold(store.app.id, await subjectOf(store, 'ann'));
    put(vault, before);
    const again = await store.reopen();
    expect((await lookTwice(again)).length).toBe(1);
    expect(await textsOf(again, group)).toEqual([null, 'ben 2025']);
  });
});
