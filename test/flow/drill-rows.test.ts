import { cpSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { DatabaseSync } from 'node:sqlite';
import { describe, expect, it, onTestFinished } from 'vitest';
import { fileOf, readConfiguration } from '../../libs/configuration/configuration.ts';
import { rowKinds } from '../../libs/vault/rows/vault-store.ts';
import { makeBackup } from '../../services/operations/backup.ts';
import { restore } from '../../services/operations/restore.ts';
import { settleIfWhole, turnEpoch } from '../../services/operations/turn-epoch.ts';
import { enforceErasures } from '../../services/privacy/life/enforce.ts';
import { erase, openFriends, quietRestore } from '../support/friends.ts';
import { groupOf, subjectOf, textsOf } from '../support/reading.ts';
import {
  embeddedVariables,
  openConfigured,
  type TestStore,
  temporaryFolder,
} from '../support/temporary-store.ts';
import { hex, kindOf, openVault, put, type Row, rowsOf } from '../support/vault-rows.ts';

// A restore drill runs beside the original, with its keys. Who can write the tables and folders of
// both, but has no key, carries what the drill has made over to the original.

/** A store that is restored from another one of today, with its key folder, as the page has it. */
async function drillOf(store: TestStore): Promise<TestStore> {
  const folder = temporaryFolder();
  const backup = await makeBackup(store, join(store.folder, `kept-${folder.at(-1)}`), Date.now());
  cpSync(store.configuration.erasuresFolder, join(folder, 'erasures'), { recursive: true });
  const variables = { ...embeddedVariables(folder), LETHE_KMS: `local:${keysOf(store)}` };
  const configuration = readConfiguration(variables);
  await restore(configuration, backup.folder, quietRestore);
  const drill = await openConfigured(configuration, folder, {}, store.app.id);
  onTestFinished(() => drill.backends.close());
  return drill;
}

const keys = new WeakMap<TestStore, string>();
const keysOf = (store: TestStore) => keys.get(store) ?? join(store.folder, 'keys');

/** Records an erasure of ann that nobody has listed yet. */
async function begin(store: TestStore): Promise<void> {
  const { requests, clock } = store.backends.privacy();
  const now = { receivedAtMs: clock.nowMs(), changedAtMs: clock.nowMs() };
  await requests.add({
    id: '01'.repeat(16),
    loss: '02'.repeat(16),
    app: store.app.id,
    kind: 'erase-subject',
    target: { subject: await subjectOf(store, 'ann') },
    step: 'begun',
    ...now,
  } as never);
}

type Table = 'requests' | 'request_afterlives' | 'access_keys' | 'vault_turn' | 'vault_turn_spare';

/** Writes rows of one database's table into another one, over whatever is there. */
function carryOver(from: DatabaseSync, to: DatabaseSync, table: Table): void {
  for (const { row: _, ...values } of from.prepare(`SELECT * FROM ${table}`).all()) {
    const names = Object.keys(values);
    const sql = `INSERT OR REPLACE INTO ${table} (${names}) VALUES (${names.map(() => '?')})`;
    to.prepare(sql).run(...(Object.values(values) as never[]));
  }
}

/** What a certificate says. */
function certificateIn({ configuration }: TestStore, erasure: string) {
  const file = join(configuration.certificatesFolder, `${erasure}.json`);
  const { payload } = JSON.parse(readFileSync(file, 'utf8')) as { payload: string };
  return JSON.parse(Buffer.from(payload, 'base64').toString('utf8'));
}

const stateOf = ({ configuration }: TestStore) => openVault(fileOf(configuration.state));
const vaultOf = ({ configuration }: TestStore) => openVault(fileOf(configuration.vault));

describe('S49 what a restore drill has made, carried over to the original by who has no key', () => {
  it('is no record of an erasure: nobody who lives has a T1 told or a certificate written', async () => {
    const store = await openFriends();
    const drill = await drillOf(store);
    const erasure = await erase(drill, 'ann');
    await erase(store, 'ben');
    await turnEpoch(store);
    const [from, to] = [stateOf(drill), stateOf(store)];
    carryOver(from, to, 'request_afterlives');
    carryOver(from, to, 'requests');
    cpSync(drill.configuration.certificatesFolder, store.configuration.certificatesFolder, {
      recursive: true,
    });
    const again = await store.reopen();
    const { requests } = again.backends.privacy();
    expect(await requests.afterlife(erasure)).toBeUndefined();
    expect(await requests.get(erasure)).toBeUndefined();
    expect(await requests.forged()).toContain(erasure);
    await settleIfWhole(again);
    expect(certificateIn(again, erasure).predicate.t1.at).toBe('pending');
    expect(await textsOf(again, await groupOf(again))).toEqual(['hers', null, 'theirs']);
  });

  it('is no entry of its list: nobody is erased by it, and it is refused by name', async () => {
    const store = await openFriends();
    const drill = await drillOf(store);
    await erase(drill, 'ann');
    cpSync(drill.configuration.erasuresFolder, store.configuration.erasuresFolder, {
      recursive: true,
    });
    const again = await store.reopen();
    const looking = enforceErasures(again.backends.privacy(), () => undefined);
    await expect(looking).rejects.toMatchObject({ code: 'ERASURES_TAMPERED' });
    expect(await textsOf(again, await groupOf(again))).toEqual(['hers', 'his', 'theirs']);
  });

  it('is no entry of its list either where a restore itself has carried out what was open', async () => {
    const store = await openFriends();
    await begin(store);
    const drill = await drillOf(store);
    expect(await textsOf(drill, await groupOf(drill))).toEqual([null, 'his', 'theirs']);
    cpSync(drill.configuration.erasuresFolder, store.configuration.erasuresFolder, {
      recursive: true,
    });
    const again = await store.reopen();
    const looking = enforceErasures(again.backends.privacy(), () => undefined);
    await expect(looking).rejects.toMatchObject({ code: 'ERASURES_TAMPERED' });
  });

  it('is no access key: it takes nobody in', async () => {
    const store = await openFriends();
    const drill = await drillOf(store);
    const { accessKeys, clock } = drill.backends.administration();
    const given = { app: store.app.id, scope: 'app' as const, nowMs: clock.nowMs() };
    const { id, secret } = await accessKeys.create(given);
    const login = `Basic ${Buffer.from(`${id}:${secret}`).toString('base64')}`;
    expect(await accessKeys.recognise(login)).toMatchObject({ keyId: id });
    carryOver(stateOf(drill), stateOf(store), 'access_keys');
    const known = new Set(rowsOf(vaultOf(store)).map(hex));
    put(
      vaultOf(store),
      rowsOf(vaultOf(drill)).filter((row) => {
        return kindOf(row) === rowKinds.accessKey && !known.has(hex(row));
      }),
    );
    const again = await store.reopen();
    const entering = again.backends.administration().accessKeys.recognise(login);
    expect(await entering.catch(({ code }) => code)).toBe('VAULT_TAMPERED');
  });

  it('is no record of turns: the own spare counts', async () => {
    const store = await openFriends();
    await turnEpoch(store);
    const last = await store.backends.turns.read();
    const drill = await drillOf(store);
    await turnEpoch(drill);
    carryOver(vaultOf(drill), vaultOf(store), 'vault_turn');
    const again = await store.reopen();
    expect(await again.backends.turns.read()).toEqual(last);
    carryOver(vaultOf(drill), vaultOf(store), 'vault_turn');
    carryOver(vaultOf(drill), vaultOf(store), 'vault_turn_spare');
    const reading = (await again.reopen()).backends.turns.read();
    await expect(reading).rejects.toMatchObject({ code: 'VAULT_TAMPERED' });
  });

  it('is no row of its vault: each is wrapped under a key that the original has not', async () => {
    const store = await openFriends();
    const drill = await drillOf(store);
    const names = ['own_key', 'wrapping_key'] as const;
    const keysIn = (rows: readonly Row[]) =>
      new Set(rows.flatMap((row) => names.map((name) => row[name])).map((key) => text(key)));
    const text = (key: Row[string] | undefined) =>
      key instanceof Uint8Array ? Buffer.from(key).toString('hex') : '';
    const own = keysIn(rowsOf(vaultOf(store)));
    const rows = rowsOf(vaultOf(drill));
    expect(rows.length).toBeGreaterThan(20);
    expect(rows.filter((row) => own.has(text(row.wrapping_key))).map(kindOf)).toEqual([]);
  });
});

describe('S49 a store that was restored from one that was restored', () => {
  it('goes on with one list, which says what each of the three has erased', async () => {
    const first = await openFriends();
    await erase(first, 'ann');
    const second = await drillOf(first);
    keys.set(second, keysOf(first));
    const erasure = await erase(second, 'ben');
    const third = await drillOf(second);
    await erase(third, 'cem');
    const { erasures, requests } = third.backends.privacy();
    expect((await erasures.read()).map(({ kind }) => kind)).toEqual([
      ...['erase-subject', 'taken', 'erase-subject', 'taken'],
      // The group ends with the last of them.
      ...['erase-subject', 'delete-conversation', 'taken', 'taken'],
    ]);
    expect(await requests.forged()).toEqual([]);
    expect((await requests.afterlives()).map(({ id }) => id)).toContain(erasure);
    expect((await enforceErasures(third.backends.privacy(), () => undefined)).found).toBe(0);
    expect(await third.backends.vaultCheck()).toMatchObject({ tampered: 0, missing: 0 });
  });
});

describe('S49 a restore that is given up after it has carried out what was open in its backup', () => {
  it('has added nothing to the list: original and further restores go on with it', async () => {
    const store = await openFriends();
    await begin(store);
    const backup = await makeBackup(store, join(store.folder, 'kept'), Date.now());
    const list = store.backends.privacy().erasures;
    const folder = temporaryFolder();
    const variables = { ...embeddedVariables(folder), LETHE_KMS: `local:${keysOf(store)}` };
    // The list is the original's own, as where a store is brought back.
    const configuration = readConfiguration({
      ...variables,
      LETHE_ERASURES: store.configuration.erasuresFolder,
    });
    const onProgress = (text: string) => {
      if (text.startsWith('everything gets keys')) throw new Error('given up');
    };
    const given = restore(configuration, backup.folder, { ...quietRestore, onProgress });
    await expect(given).rejects.toThrow('given up');
    expect(await list.read()).toEqual([]);
    await restore(configuration, backup.folder, quietRestore);
    const restored = await openConfigured(configuration, folder, {}, store.app.id);
    onTestFinished(() => restored.backends.close());
    expect(await textsOf(restored, await groupOf(restored))).toEqual([null, 'his', 'theirs']);
    const kinds = (await restored.backends.privacy().erasures.read()).map(({ kind }) => kind);
    expect(kinds).toEqual(['erase-subject', 'taken']);
  });
});
