import { spawn } from 'node:child_process';
import { chmodSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { describe, expect, it } from 'vitest';
import type { LossId } from '../../../libs/base/ids.ts';
import { createSystemRandomness, randomIdInBucket } from '../../../libs/base/random.ts';
import { readConfiguration } from '../../../libs/configuration/configuration.ts';
import { Ring } from '../../../libs/keyring/ring.ts';
import { THING_DEPTH, thingPath } from '../../../libs/sealing/tree-path.ts';
import { rowKinds } from '../../../libs/vault/rows/vault-store.ts';
import { openBackends } from '../../../libs/wiring/open-backends.ts';
import { createApp } from '../../../services/operations/create-app.ts';
import { createPrivacy } from '../../../services/privacy/doors/privacy.ts';
import { PERSONAL, received } from '../../support/events.ts';
import { defaultConversationOf, messagesOf, subjectOf, textsOf } from '../../support/reading.ts';
import {
  openAt,
  openTestStore,
  storeVariables,
  temporaryFolder,
} from '../../support/temporary-store.ts';

const randomness = createSystemRandomness();
const ERASURE = 'e'.repeat(32) as LossId;
const ANN = { identity: { channel: 'chat', externalId: 'ann' } };

describe('the vault', () => {
  it('3,000 parallel first uses of one person make one person, one ring and one load', async () => {
    const store = await openTestStore();
    const { directoryWriter } = store.backends.ingest();
    const made = await Promise.all(
      Array.from({ length: 3_000 }, () => directoryWriter.addSubjects(store.app, [ANN], 1)),
    );
    const people = new Set(made.flatMap((one) => one.ids));
    expect(people.size).toBe(1);
    const [ann] = people;
    let owners = 0;
    for await (const ring of store.backends.vaultStore().scan(12)) {
      if (ring.id !== store.app.id) owners += 1;
    }
    expect(owners).toBe(1);
    const cold = await store.reopen();
    const ref = { app: store.app.id, kind: 2 as const, id: ann! };
    const rings = await Promise.all(
      Array.from({ length: 3_000 }, () =>
        cold.backends.reader().keyring.use([ref], async ([ring]) => ring),
      ),
    );
    expect(new Set(rings).size).toBe(1);
    expect(cold.backends.kmsCallCount()).toBe(1);
  });

  it('two processes that name conversations of one person at once leave no name that leads to none', async () => {
    const store = await openTestStore();
    const other = await openAt(store.folder, {}, store.app.id);
    await store.deliver(received('ann', 'x'));
    const ann = await subjectOf(store, 'ann');
    for (let n = 0; n < 20; n += 1) {
      const made = await Promise.all(
        [store, other].map(async ({ backends, app }, process) => {
          const { directory, directoryWriter } = backends.ingest();
          const name = { source: '/channels/chat/main', externalId: `${process} ${n}` };
          const wanted = { kind: 'personal' as const, person: ann, name, isDefault: false };
          const [id] = await directoryWriter.addConversations(app, [wanted], 1);
          return (await directory.conversations(app.id, [id!]))[0];
        }),
      );
      for (const entry of made) expect(entry).toMatchObject({ value: { person: ann } });
    }
  });

  it('makes somebody new again when no row of theirs was written, as after a turn', async () => {
    const store = await openTestStore();
    const { directoryWriter } = store.backends.ingest();
    const vault = store.backends.vaultStore();
    const { commit } = vault;
    vault.commit = async (batches) => {
      const puts = batches.flatMap((batch) => batch.puts ?? []);
      if (!puts.some(({ kind }) => kind === rowKinds.identity)) return commit.call(vault, batches);
      vault.commit = commit;
      return batches.map(() => 'conflict');
    };
    const { ids } = await directoryWriter.addSubjects(store.app, [ANN], 1);
    expect(ids).toEqual([await subjectOf(store, 'ann')]);
  });

  it('is found sound by a check when somebody it looks at is removed meanwhile', async () => {
    const store = await openTestStore();
    await store.deliver(received('ann', 'x'));
    const id = await subjectOf(store, 'ann');
    const vault = store.backends.vaultStore();
    const { versions } = vault;
    // As a writer does that gave a name which another one had given already.
    vault.versions = async (keys) => {
      const rows = keys.filter((key) => key.id === id);
      if (rows.length > 0) {
        const ring = { ...rows[0]!, kind: rowKinds.ownerRing };
        const removals = (await vault.read([ring, ...rows])).filter((row) => row !== undefined);
        if (removals.length > 0) await vault.commit([{ removals }]);
      }
      return versions.call(vault, keys);
    };
    expect(await store.backends.vaultCheck()).toMatchObject({ tampered: 0, missing: 0 });
    expect(await store.backends.reader().directory.subjects(store.app.id, [id])).toEqual([
      undefined,
    ]);
  });

  it('that several services open for the first time at once has one KMS key, and they all open with it', async () => {
    const folder = temporaryFolder();
    const configuration = readConfiguration(storeVariables(folder));
    const services = await Promise.all([1, 2, 3, 4].map(() => openBackends(configuration)));
    const keys = readdirSync(join(folder, 'keys')).filter((file) => file.endsWith('.key'));
    expect(keys).toHaveLength(1);
    const app = await createApp(services[0]!.administration(), { name: 'demo', buckets: 16 });
    for (const { administration } of services) {
      expect((await administration().apps.find(app.id))?.name).toBe('demo');
    }
    for (const service of services) await service.close();
  });

  it('3,000 parallel first uses of a cold process call the KMS once', async () => {
    const store = await openTestStore();
    await store.deliver(...Array.from({ length: 50 }, (_, i) => received(`p${i}`, 'x')));
    const cold = await store.reopen();
    const { directory } = cold.backends.reader();
    await Promise.all(
      Array.from({ length: 3_000 }, (_, i) =>
        directory.findSubjects(store.app.id, [{ channel: 'chat', externalId: `p${i % 50}` }]),
      ),
    );
    expect(cold.backends.kmsCallCount()).toBe(1);
  });

  it('two processes that make rings for the same new people at once end with one ring each', async () => {
    const folder = temporaryFolder();
    const env = { ...process.env, ...storeVariables(folder) };
    const backends = await openBackends(readConfiguration(storeVariables(folder)));
    await createApp(backends.administration(), { name: 'demo', buckets: 8 });
    await backends.close();
    const script = join(import.meta.dirname, '../../support/add-people.ts');
    const run = () =>
      new Promise<string>((resolve, reject) => {
        const child = spawn(process.execPath, [script, 'demo', '300'], { env });
        let out = '';
        child.stdout.on('data', (chunk) => {
          out += String(chunk);
        });
        let err = '';
        child.stderr.on('data', (chunk) => {
          err += String(chunk);
        });
        child.on('close', (code) => (code === 0 ? resolve(out) : reject(new Error(err))));
      });
    const [one, other] = await Promise.all([run(), run()]);
    expect(JSON.parse(one)).toEqual(JSON.parse(other));
    const after = await openBackends(readConfiguration(storeVariables(folder)));
    let owners = 0;
    for await (const _ of after.vaultStore().scan(12)) owners += 1;
    after.close();
    // One ring for each of the people, and the app's own.
    expect(owners).toBe(301);
  });

  it('a fence is never taken back: an erased ring is not made again, by any call', async () => {
    const store = await openTestStore();
    await store.deliver(received('ann', 'words'));
    const ann = await subjectOf(store, 'ann');
    await createPrivacy(store.backends.privacy()).eraseSubject(store.app.id, ann);
    const ref = { app: store.app.id, kind: 2 as const, id: ann };
    const { keyring } = store.backends.ingest();
    await store.backends.administration().keyringCreate.create([ref]);
    expect(await keyring.use([ref], async ([ring]) => ring)).toBe('erased');
  });

  it('S14 an old segment of a ring opens nothing with today’s row', async () => {
    const store = await openTestStore();
    const privacy = store.backends.privacy();
    const place = randomIdInBucket(randomness, 3) as never;
    const ref = { app: store.app.id, kind: 3 as const, id: place };
    await store.backends.administration().keyringCreate.create([ref]);
    const things = Array.from({ length: 40 }, () => randomIdInBucket(randomness, 1) as string);
    const take = (thing: string) => [{ path: thingPath(thing), depth: THING_DEPTH }];
    for (const thing of things) await privacy.keyringShred.puncture(ref, take(thing), ERASURE);
    const file = join(store.folder, 'data/vault.db');
    const segments = () => {
      const database = new DatabaseSync(file);
      const rows = database.prepare('SELECT key, wrapped FROM vault_segments').all();
      database.close();
      return rows as { key: Uint8Array; wrapped: Uint8Array }[];
    };
    const old = segments();
    expect(old.length).toBeGreaterThan(0);
    const last = randomIdInBucket(randomness, 1) as string;
    await privacy.keyringShred.puncture(ref, take(last), ERASURE);
    const database = new DatabaseSync(file);
    // The attacker puts every old segment back over today's.
    for (const { wrapped } of old) {
      database.prepare('UPDATE vault_segments SET wrapped = ?').run(wrapped);
    }
    database.close();
    const cold = await store.reopen();
    const open = cold.backends.reader().keyring.use([ref], async ([ring]) => ring);
    await expect(open).rejects.toMatchObject({ code: 'VAULT_TAMPERED' });
  });

  it('a missing segment is an error, never "forgotten"', async () => {
    const store = await openTestStore();
    const place = randomIdInBucket(randomness, 3) as never;
    const ref = { app: store.app.id, kind: 3 as const, id: place };
    await store.backends.administration().keyringCreate.create([ref]);
    const { keyringShred } = store.backends.privacy();
    for (let i = 0; i < 40; i += 1) {
      const thing = randomIdInBucket(randomness, 1) as string;
      await keyringShred.puncture(ref, [{ path: thingPath(thing), depth: THING_DEPTH }], ERASURE);
    }
    const database = new DatabaseSync(join(store.folder, 'data/vault.db'));
    database.exec('DELETE FROM vault_segments');
    database.close();
    const cold = await store.reopen();
    const open = cold.backends.reader().keyring.use([ref], async ([ring]) => ring);
    await expect(open).rejects.toMatchObject({ code: 'SEGMENT_MISSING' });
  });

  it('any changed byte of a wrapped row is tampered, never erased', async () => {
    const store = await openTestStore();
    await store.deliver(received('ann', 'words', { conversation: PERSONAL }));
    const conversation = await defaultConversationOf(store, 'ann');
    const ann = await subjectOf(store, 'ann');
    const file = join(store.folder, 'data/vault.db');
    const key = Buffer.from(`${store.app.id}0c${ann}`, 'hex');
    const database = new DatabaseSync(file);
    const row = database.prepare('SELECT wrapped FROM vault_rows WHERE key = ?').get(key);
    const wrapped = Buffer.from((row as { wrapped: Uint8Array }).wrapped);
    for (const at of [0, 5, 20, wrapped.length - 1]) {
      const changed = Buffer.from(wrapped);
      changed[at] = changed[at]! ^ 1;
      database.prepare('UPDATE vault_rows SET wrapped = ? WHERE key = ?').run(changed, key);
      const cold = await store.reopen();
      await expect(messagesOf(cold, conversation)).rejects.toMatchObject({
        code: 'VAULT_TAMPERED',
      });
    }
    database.close();
  });

  it.each([
    ['its state', 'state = 3'],
    ['its state and its bytes', "state = 3, wrapped = x''"],
    [
      'all of another’s fence',
      `(state, version, wrapped, erasure, fingerprint, wrapping_key) = (SELECT state, version,
        wrapped, erasure, fingerprint, wrapping_key FROM vault_rows WHERE key = :ben)`,
    ],
    ['a value of another type', "wrapping_key = 'x'"],
  ])(
    'who can only write to the disk makes no fence of a ring with %s: it reads as tampered',
    async (_, change) => {
      const store = await openTestStore();
      await store.deliver(
        received('ann', 'hers', { conversation: PERSONAL }),
        received('ben', 'his', { conversation: PERSONAL }),
      );
      const conversation = await defaultConversationOf(store, 'ann');
      const [ann, ben] = [await subjectOf(store, 'ann'), await subjectOf(store, 'ben')];
      await createPrivacy(store.backends.privacy()).eraseSubject(store.app.id, ben);
      const ringKey = (id: string) => Buffer.from(`${store.app.id}0c${id}`, 'hex');
      const database = new DatabaseSync(join(store.folder, 'data/vault.db'));
      const forge = `UPDATE vault_rows SET ${change} WHERE key = :ann AND :ben IS NOT NULL`;
      database.prepare(forge).run({ ann: ringKey(ann), ben: ringKey(ben) });
      const cold = await store.reopen();
      const tampered = { code: 'VAULT_TAMPERED' };
      await expect(messagesOf(cold, conversation)).rejects.toMatchObject(tampered);
      if (change.startsWith('wrapping_key')) return;
      // An erase does not pass over it: the row becomes a real fence, its key is gone.
      await createPrivacy(cold.backends.privacy()).eraseSubject(store.app.id, ann);
      expect(await textsOf(cold, conversation)).toEqual([null]);
      database.close();
    },
  );

  it('S36 a row of one ring put in place of another’s is tampered', async () => {
    const store = await openTestStore();
    await store.deliver(
      received('ann', 'hers', { conversation: PERSONAL }),
      received('ben', 'his', { conversation: PERSONAL }),
    );
    const conversation = await defaultConversationOf(store, 'ann');
    const ring = async (name: string) =>
      Buffer.from(`${store.app.id}0c${await subjectOf(store, name)}`, 'hex');
    const [ann, ben] = [await ring('ann'), await ring('ben')];
    const database = new DatabaseSync(join(store.folder, 'data/vault.db'));
    database.exec('CREATE TEMP TABLE other AS SELECT * FROM vault_rows');
    database
      .prepare(
        `UPDATE vault_rows SET (wrapped, version, wrapping_key) =
          (SELECT wrapped, version, wrapping_key FROM other WHERE key = ?) WHERE key = ?`,
      )
      .run(ben, ann);
    database.close();
    const cold = await store.reopen();
    await expect(messagesOf(cold, conversation)).rejects.toMatchObject({ code: 'VAULT_TAMPERED' });
  });
});

describe('the key folder', () => {
  it('S13 is refused inside the data folder', () => {
    const folder = temporaryFolder();
    const inside = { ...storeVariables(folder), LETHE_KMS: `local:${folder}/data/keys` };
    expect(() => readConfiguration(inside)).toThrow(/LETHE_KMS: the key folder lies inside/);
  });

  it('that is missing, damaged or open to others keeps the store closed, and nothing changes', async () => {
    const store = await openTestStore();
    await store.deliver(received('ann', 'words'));
    await store.backends.close();
    const keys = join(store.folder, 'keys');
    const file = join(keys, readdirSync(keys)[0]!);
    const intact = readFileSync(file);
    const vault = readFileSync(join(store.folder, 'data/vault.db'));
    const open = () => openBackends(store.configuration);
    const denied = { code: 'ROOT_KMS_DENIED' };
    writeFileSync(file, intact.subarray(0, 20));
    await expect(open()).rejects.toMatchObject(denied);
    const flipped = Buffer.from(intact);
    flipped[flipped.length - 1] = flipped[flipped.length - 1]! ^ 1;
    writeFileSync(file, flipped);
    await expect(open()).rejects.toMatchObject(denied);
    writeFileSync(file, intact);
    chmodSync(file, 0o644);
    await expect(open()).rejects.toThrow('chmod 600');
    rmSync(keys, { recursive: true });
    await expect(open()).rejects.toThrow('is missing');
    expect(readFileSync(join(store.folder, 'data/vault.db')).equals(vault)).toBe(true);
  });

  it('with a passphrase opens with it and with no other', async () => {
    const folder = temporaryFolder();
    const variables = (passphrase: string) => ({
      ...storeVariables(folder),
      ...(passphrase && { LETHE_KMS_PASSPHRASE: passphrase }),
    });
    const open = (passphrase: string) => openBackends(readConfiguration(variables(passphrase)));
    (await open('correct horse')).close();
    (await open('correct horse')).close();
    await expect(open('wrong horse')).rejects.toThrow('wrong LETHE_KMS_PASSPHRASE');
    await expect(open('')).rejects.toThrow('set LETHE_KMS_PASSPHRASE');
  });

  it('a data folder of a newer format is refused', async () => {
    const store = await openTestStore();
    await store.backends.close();
    const database = new DatabaseSync(join(store.folder, 'data/views.db'));
    database.exec('PRAGMA user_version = 99');
    database.close();
    const open = async () => {
      const backends = await openBackends(store.configuration);
      backends.reader();
    };
    await expect(open()).rejects.toMatchObject({ code: 'FORMAT_UNKNOWN' });
  });

  it('rings are opaque objects wherever they are printed', async () => {
    const store = await openTestStore();
    const ref = { app: store.app.id, kind: 1 as const, id: store.app.id };
    const ring = await store.backends.reader().keyring.use([ref], async ([one]) => one);
    expect(ring).toBeInstanceOf(Ring);
    expect(JSON.stringify(ring)).toBe('"[Ring]"');
  });
});
