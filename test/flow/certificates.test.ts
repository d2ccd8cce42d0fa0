import { spawnSync } from 'node:child_process';
import {
  createPrivateKey,
  createPublicKey,
  generateKeyPairSync,
  type KeyObject,
} from 'node:crypto';
import {
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { describe, expect, it, onTestFinished } from 'vitest';
import { openEnvelope, signStatement } from '../../libs/audit/dsse.ts';
import { Ring, ringRefToKey } from '../../libs/keyring/ring.ts';
import type { PrivacyRequest } from '../../libs/requests/request.ts';
import { runDoctor } from '../../services/operations/doctor.ts';
import { settleEpoch, turnEpoch } from '../../services/operations/turn-epoch.ts';
import { createPrivacy, type PrivacyOutcome } from '../../services/privacy/doors/privacy.ts';
import { carryOut, type Done } from '../../services/privacy/life/carry-out.ts';
import { commitmentOf } from '../../services/privacy/life/certificate.ts';
import { previewLoss } from '../../services/privacy/life/preview.ts';
import { createSilenceWatch, runOpenRequests } from '../../services/privacy/life/request-worker.ts';
import { edited, PERSONAL, reacted, received } from '../support/events.ts';
import { lethe } from '../support/processes.ts';
import { groupOf, subjectOf, textsOf } from '../support/reading.ts';
import { openAt, openTestStore, type TestStore } from '../support/temporary-store.ts';

type Erased = Extract<PrivacyOutcome, { status: 'done' }>;

async function openVictim(): Promise<TestStore> {
  const store = await openTestStore();
  await store.deliver(
    received('ann', 'hers', { id: '1', displayName: 'Ann' }),
    received('ben', 'his', { id: '2' }),
    received('ann', 'secret', { id: '3', conversation: PERSONAL }),
  );
  return store;
}

async function eraseAnn(store: TestStore) {
  const ann = await subjectOf(store, 'ann');
  const [entry] = await store.backends.reader().directory.subjects(store.app.id, [ann]);
  const privacy = createPrivacy(store.backends.privacy());
  const outcome = (await privacy.eraseSubject(store.app.id, ann)) as Erased;
  const folder = join(store.folder, 'certificates');
  const publicKey = createPublicKey(readFileSync(join(folder, 'public-key.pem')));
  const text = readFileSync(outcome.certificate!.file, 'utf8');
  return { outcome, publicKey, text, alias: entry!.value.alias, ann };
}

describe('a certificate', () => {
  it('says what was attacked and when no process could read, and names nobody', async () => {
    const store = await openVictim();
    const { outcome, publicKey, text, alias, ann } = await eraseAnn(store);
    expect(outcome.attack).toMatchObject({ events: { opened: 0 } });
    expect(outcome.attack!.events.tried).toBeGreaterThan(2);
    // The truth until the next turn: whoever kept the wrapped rings can open them with today's KMS.
    expect(outcome.attack!.rings.openUntilT1).toBe(outcome.attack!.rings.tried);
    const statement = openEnvelope(text, publicKey);
    expect(statement.predicate).toMatchObject({
      erasure: outcome.erasure,
      t0: { holders: { leaseWaitedOut: 0 } },
      t1: { at: 'pending' },
      attack: { events: { opened: 0 } },
      commitment: 'SHA-256(salt ‖ user id); the salt is in the answer to the request alone',
    });
    const { salt } = outcome.certificate!;
    expect(statement.subject[0]!.digest.sha256).toBe(commitmentOf(salt!, alias));
    const written = JSON.stringify(statement);
    for (const secret of [salt!, alias, ann, 'Ann', 'ann']) expect(written).not.toContain(secret);
  });

  it('is refused when any byte was changed, and when another key signed it', async () => {
    const store = await openVictim();
    const { publicKey, text } = await eraseAnn(store);
    expect(() => openEnvelope(text, publicKey)).not.toThrow();
    for (let at = 0; at < text.length; at += 1) {
      const changed = text.slice(0, at) + (text[at] === 'A' ? 'B' : 'A') + text.slice(at + 1);
      // The key's name in the envelope is a hint: nobody trusts it, nobody needs it.
      if (changed === text || isInKeyId(text, at)) continue;
      expect(() => openEnvelope(changed, publicKey), `byte ${at}`).toThrow('does not hold');
    }
    const { privateKey } = generateKeyPairSync('ed25519');
    const forged = JSON.stringify(signStatement(openEnvelope(text, publicKey), privateKey));
    expect(() => openEnvelope(forged, publicKey)).toThrow('and the given one is');
  });

  it('says of every event whether it was tried: edits and reactions are, or a part is said to be', async () => {
    const store = await openVictim();
    await store.deliver(
      edited('ann', '1', 'hers, edited', { id: 'e' }),
      reacted('ann', '2', '+1', { id: 'r' }),
    );
    const subject = await subjectOf(store, 'ann');
    const asked = { kind: 'erase-subject' as const, target: { subject } };
    const preview = await previewLoss(store.backends.privacy(), store.app.id, asked);
    const events = Object.values(preview.events).reduce((sum, one) => sum + one, 0);
    const { outcome } = await eraseAnn(store);
    expect(preview.events).toMatchObject({ MessageEdited: 1, MessageReacted: 1 });
    expect(outcome.attack!.events.tried).toBe(events);
    expect(outcome.attack!.notTried.join()).not.toContain('further events');
  });

  it('is not issued, and the erasure not finished, when something captured still opens', async () => {
    const store = await openVictim();
    const powers = store.backends.privacy();
    const ann = await subjectOf(store, 'ann');
    // The leak: a process that goes on using the rings it loaded before the fence.
    const kept = new Map<string, Ring>();
    const keyring: typeof powers.keyring = {
      ...powers.keyring,
      use: (refs, work) =>
        powers.keyring.use(refs, (outcomes) =>
          work(refs.map((ref, i) => kept.get(ringRefToKey(ref)) ?? outcomes[i]!)),
        ),
      revoked: async () => [],
    };
    const leaking = await keepRings(store, kept);
    const erasing = createPrivacy({ ...powers, keyring }).eraseSubject(store.app.id, ann);
    await expect(erasing).rejects.toMatchObject({ code: 'ERASURE_UNVERIFIED' });
    leaking.done();
    const folder = join(store.folder, 'certificates');
    expect(existsSync(folder) ? readdirSync(folder) : []).toEqual([]);
    expect((await powers.requests.open(10)).length).toBe(1);
    // Without the leak, running it again finishes it.
    await runOpenRequests(powers);
    await store.project();
    expect(await textsOf(store, await groupOf(store))).toEqual([null, 'his']);
  });

  it('S51 of another person under this one’s name is never signed, and is told of once', async () => {
    const store = await openVictim();
    const ann = await eraseAnn(store);
    const ben = (await createPrivacy(store.backends.privacy()).eraseSubject(
      store.app.id,
      await subjectOf(store, 'ben'),
    )) as Erased;
    const [own, other] = [ann.outcome.certificate!.file, ben.certificate!.file];
    writeFileSync(own, readFileSync(other));
    const settling = turnEpoch(store);
    await expect(settling).rejects.toMatchObject({ code: 'CERTIFICATE_INVALID' });
    await expect(settling).rejects.toThrow(ann.outcome.erasure);
    await settleEpoch(store);
    const said = openEnvelope(readFileSync(own, 'utf8'), ann.publicKey).predicate;
    expect(said).toMatchObject({ erasure: ben.erasure, t1: { at: 'pending' } });
    const hers = openEnvelope(readFileSync(other, 'utf8'), ann.publicKey).predicate;
    expect(hers).toMatchObject({ erasure: ben.erasure, t1: { at: expect.stringMatching(/^20/) } });
  });

  it.each(['folder', 'pipe', 'other'])(
    'S51 that a %s lies in the place of is named, stops nothing, and keeps nobody else’s T1',
    async (what) => {
      const store = await openVictim();
      const ann = await eraseAnn(store);
      const subject = await subjectOf(store, 'ben');
      const privacy = createPrivacy(store.backends.privacy());
      const ben = (await privacy.eraseSubject(store.app.id, subject)) as Erased;
      const doctor = async () => {
        const checks = await runDoctor(store, () => undefined);
        return checks.find(({ name }) => name === 'certificates')!;
      };
      expect(await doctor()).toMatchObject({ passed: true, detail: expect.stringMatching(/^2 /) });
      const [own, other] = [ann.outcome.certificate!.file, ben.certificate!.file];
      rmSync(own);
      if (what === 'folder') mkdirSync(own);
      else if (what === 'pipe') expect(spawnSync('mkfifo', [own]).status).toBe(0);
      else writeFileSync(own, readFileSync(other));
      expect(await doctor()).toMatchObject({
        passed: false,
        detail: expect.stringContaining(`1 are not what their names say (${ann.outcome.erasure})`),
      });
      await expect(turnEpoch(store)).rejects.toThrow(ann.outcome.erasure);
      const his = openEnvelope(readFileSync(other, 'utf8'), ann.publicKey).predicate;
      expect(his).toMatchObject({ t1: { at: expect.stringMatching(/^20/) } });
      // A public key that is none is set aside.
      const publicFile = join(store.folder, 'certificates', 'public-key.pem');
      rmSync(publicFile);
      if (what === 'folder') mkdirSync(publicFile);
      else if (what === 'pipe') expect(spawnSync('mkfifo', [publicFile]).status).toBe(0);
      else writeFileSync(publicFile, 'other');
      expect((await doctor()).passed).toBe(false);
      await store.deliver(received('cem', 'words'));
      const cem = await subjectOf(store, 'cem');
      expect((await privacy.eraseSubject(store.app.id, cem)).status).toBe('done');
      expect(createPublicKey(readFileSync(publicFile)).asymmetricKeyType).toBe('ed25519');
    },
  );

  it('that was not in its folder when its T1 came has it from the next turn on', async () => {
    const store = await openVictim();
    const { outcome, publicKey } = await eraseAnn(store);
    const { file } = outcome.certificate!;
    renameSync(file, `${file}.away`);
    await turnEpoch(store);
    renameSync(`${file}.away`, file);
    await turnEpoch(store);
    const { predicate } = openEnvelope(readFileSync(file, 'utf8'), publicKey);
    expect(predicate).toMatchObject({ t1: { at: expect.stringMatching(/^20/) } });
  });

  it('is issued anew, with a salt that counts, when a run ended between it and the answer', async () => {
    const store = await openVictim();
    const ann = await subjectOf(store, 'ann');
    const powers = store.backends.privacy();
    const [entry] = await store.backends.reader().directory.subjects(store.app.id, [ann]);
    const purging = { ...powers, cache: { drop: () => Promise.reject(new Error('died here')) } };
    await expect(createPrivacy(purging).eraseSubject(store.app.id, ann)).rejects.toThrow('died');
    const [open] = await powers.requests.open(10);
    const [carried] = await carryOut(powers, [open!]);
    const { certificate } = carried as Done;
    const key = createPublicKey(readFileSync(certificate!.publicKey.file));
    const statement = openEnvelope(readFileSync(certificate!.file, 'utf8'), key);
    const commitment = commitmentOf(certificate!.salt!, entry!.value.alias);
    expect(statement.subject[0]!.digest.sha256).toBe(commitment);
    // What the first run attacked is still what it says.
    expect(statement.predicate).toMatchObject({ attack: { events: { opened: 0 } } });
  });

  it('keeps the salt that was answered, however long T0 takes beside another worker', async () => {
    const store = await openVictim();
    const ann = await subjectOf(store, 'ann');
    const [entry] = await store.backends.reader().directory.subjects(store.app.id, [ann]);
    const other = await openAt(store.folder, {}, store.app.id);
    onTestFinished(() => other.backends.close());
    const powers = store.backends.privacy();
    const passHolders = async () => {
      await sleep(4_000);
      return powers.holders.passHolders();
    };
    const slow = { ...powers, holders: { ...powers.holders, passHolders } };
    const erasing = createPrivacy(slow).eraseSubject(store.app.id, ann);
    const isInterrupted = createSilenceWatch(powers.clock, 1_500);
    let taken = 0;
    let stale: PrivacyRequest | undefined;
    for (let isOver = false; !isOver; ) {
      stale ??= (await powers.requests.open(1))[0];
      taken += await runOpenRequests(other.backends.privacy(), { isInterrupted });
      isOver = await Promise.race([erasing.then(() => true), sleep(100).then(() => false)]);
    }
    expect(taken).toBe(0);
    const { certificate } = (await erasing) as Erased;
    const key = createPublicKey(readFileSync(certificate!.publicKey.file));
    const statement = openEnvelope(readFileSync(certificate!.file, 'utf8'), key);
    const commitment = commitmentOf(certificate!.salt!, entry!.value.alias);
    expect(statement.subject[0]!.digest.sha256).toBe(commitment);
    // A worker that has it in hand still, as it was read before, puts nothing in its place.
    await carryOut(other.backends.privacy(), [stale!]);
    expect(openEnvelope(readFileSync(certificate!.file, 'utf8'), key).subject).toEqual(
      statement.subject,
    );
  });

  it('is verified as what it is, by a key of its kind, and refused in words else', async () => {
    const store = await openVictim();
    const { outcome, publicKey, text } = await eraseAnn(store);
    const file = (name: string, content: string) => {
      const path = join(store.folder, name);
      writeFileSync(path, content);
      return path;
    };
    const pem = (key: KeyObject) => String(key.export({ type: 'spki', format: 'pem' }));
    const own = file('own.pem', pem(publicKey));
    const good = await lethe(store.folder, ['verify', outcome.certificate!.file, '--key', own]);
    expect(good.json).toMatchObject({ valid: true });
    const signing = createPrivateKey(
      readFileSync(join(store.folder, 'keys/certificates.ed25519.pem')),
    );
    const other = { ...openEnvelope(text, publicKey), predicateType: 'urn:other:v1' };
    const rsa = generateKeyPairSync('rsa', { modulusLength: 2_048 }).publicKey;
    const refused = async (certificate: string, key: string) =>
      (await lethe(store.folder, ['verify', certificate, '--key', key])).err;
    const signed = file('other.json', JSON.stringify(signStatement(other, signing)));
    expect(await refused(signed, own)).toContain('not of an erasure by Lethe');
    const kinds = file('rsa.pem', pem(rsa));
    expect(await refused(outcome.certificate!.file, kinds)).toContain('Ed25519');
    const empty = { ...JSON.parse(text), signatures: [null] };
    const unsigned = file('null.json', JSON.stringify(empty));
    expect(await refused(unsigned, own)).toContain('no signature of it is by this key');
    const another = generateKeyPairSync('ed25519').publicKey;
    const byAnother = await refused(outcome.certificate!.file, file('another.pem', pem(another)));
    expect(byAnother).toContain('it says that it was signed with the key');
    const secret = join(store.folder, 'keys/certificates.ed25519.pem');
    expect(await refused(outcome.certificate!.file, secret)).toContain('is a private key');
    const renamed = file(`${'a'.repeat(32)}.json`, text);
    expect(await refused(renamed, own)).toContain(`it is of the erasure ${outcome.erasure}`);
  });
});

function isInKeyId(text: string, at: number): boolean {
  const from = text.indexOf('"keyid"');
  return at >= from && at <= from + '"keyid":'.length + 66;
}

/** Takes copies of the rings that are loaded now, which nothing destroys. */
async function keepRings(store: TestStore, kept: Map<string, Ring>) {
  const other = await store.backends.vaultStore();
  const refs: { app: never; kind: 1 | 2 | 3; id: string }[] = [];
  for (const kind of [11, 12, 13] as const) {
    for await (const row of other.scan(kind, store.app.id)) {
      refs.push({ app: store.app.id as never, kind: (kind - 10) as 1 | 2 | 3, id: row.id });
    }
  }
  let done = () => {};
  const held = new Promise<void>((resolve) => {
    done = resolve;
  });
  const { openBackends } = await import('../../libs/wiring/open-backends.ts');
  const leaky = await openBackends(store.configuration);
  const { keyring } = leaky.reader();
  const loaded = new Promise<void>((resolve) => {
    void keyring.use(refs, async (outcomes) => {
      for (const [i, ring] of outcomes.entries()) {
        if (ring instanceof Ring) kept.set(ringRefToKey(refs[i]!), ring);
      }
      resolve();
      await held;
    });
  });
  await loaded;
  return {
    done() {
      done();
      void leaky.close();
    },
  };
}
