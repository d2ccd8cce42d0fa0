import { createPublicKey, generateKeyPairSync, randomBytes } from 'node:crypto';
import { readdirSync, readFileSync, renameSync, rmSync, utimesSync, writeFileSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { describe, expect, it, onTestFinished, vi } from 'vitest';
import { keyIdOf, openEnvelope } from '../../libs/audit/dsse.ts';
import { createSystemRandomness } from '../../libs/base/random.ts';
import { openRootKmsLocal } from '../../libs/vault/keys/local/root-kms-local.ts';
import { keysOfCopies } from '../../libs/vault/turn/keys-of-copies.ts';
import { createTurnStore, type Turn } from '../../libs/vault/turn/turn-store.ts';
import { fixedMac } from '../support/fixed-mac.ts';
import { temporaryFolder } from '../support/temporary-store.ts';
import { adapters } from './adapters.ts';

const id = (byte: number) => byte.toString(16).padStart(2, '0').repeat(16) as never;

const TURN: Turn = {
  id: id(1),
  step: 'begun',
  oldKmsKey: id(2),
  newKmsKey: id(3),
  number: 1,
  startedAtMs: 5,
  runner: id(4),
  aliveAtMs: 5,
  t1AtMs: null,
  failedApps: [],
  buckets: 0,
  rows: 0,
};

describe.each(adapters.turns)('turn record %s', (_, open) => {
  let rootKey = id(3);
  const openRecord = async (folder: string) =>
    createTurnStore(await open(folder), fixedMac(), async () => rootKey);

  it('is written only over what was read, across processes', async () => {
    const folder = temporaryFolder();
    const [one, other] = [await openRecord(folder), await openRecord(folder)];
    await one.begin();
    await other.begin();
    expect(await one.read()).toBeUndefined();
    expect(await one.write(TURN, undefined)).toBe(true);
    expect(await other.write({ ...TURN, runner: id(9) }, undefined)).toBe(false);
    const next = { ...TURN, step: 'apps' as const };
    expect(await other.write(next, TURN)).toBe(true);
    expect(await one.write({ ...TURN, step: 'done' }, TURN)).toBe(false);
    expect(await one.read()).toEqual(next);
  });

  it('S51 that was changed, or taken away, counts no more: its spare does, or nothing', async () => {
    const folder = temporaryFolder();
    const [record, table] = [await openRecord(folder), await open(folder)];
    const edit = async () => {
      const there = (await table.read())!;
      const text = there.text!.replace('"t1AtMs":null', '"t1AtMs":1');
      expect(await table.replace(there, { ...there, text })).toBe(true);
    };
    await expect(record.read()).rejects.toMatchObject({ code: 'VAULT_TAMPERED' });
    await record.begin();
    await record.write(TURN, undefined);
    await edit();
    expect(await record.read()).toEqual(TURN);
    expect(await (await openRecord(folder)).read()).toEqual(TURN);
    // An older one, of another key at the root, says nothing of now; nor does its spare.
    rootKey = id(7);
    await expect(record.read()).rejects.toMatchObject({ code: 'VAULT_TAMPERED' });
    rootKey = id(3);
    expect(await record.read()).toEqual(TURN);
    await edit();
    await table.writeSpare({ text: 'null', code: 'none' });
    await expect(record.read()).rejects.toMatchObject({ code: 'VAULT_TAMPERED' });
    await expect(record.write(TURN, TURN)).rejects.toMatchObject({ code: 'VAULT_TAMPERED' });
  });
});

describe.each(adapters.erasures)('entries of the list of erasures %s', (_, open) => {
  it('are made once under each number, whoever is first, and kept', async () => {
    const folder = temporaryFolder();
    const [one, other] = [await open(folder), await open(folder)];
    expect(await one.isThere()).toBe(false);
    await one.begin();
    expect([await one.isThere(), await one.newest()]).toEqual([true, 0]);
    expect(await one.create(1, 'first')).toBe(true);
    expect(await other.create(1, 'late')).toBe(false);
    expect(await other.create(2, 'second')).toBe(true);
    expect(await one.newest()).toBe(2);
    expect([await one.read(1), await one.read(2), await one.read(3)]).toEqual([
      'first',
      'second',
      undefined,
    ]);
    await one.remove(2);
    expect(await (await open(folder)).newest()).toBe(1);
  });
});

describe.each(adapters.certificates)('certificates %s', (_, open) => {
  const statementOf = (n: number) => ({
    _type: 'https://in-toto.io/Statement/v1' as const,
    subject: [{ name: 'one', digest: { sha256: '00' } }],
    predicateType: 'urn:test',
    predicate: { n },
  });

  const isSame = ({ predicateType }: { predicateType: string }) => predicateType === 'urn:test';

  it('keep what was said first, with the subject of whoever issues it last', async () => {
    const folder = temporaryFolder();
    const [one, other] = [await open(folder), await open(folder)];
    const subject = [{ name: 'one', digest: { sha256: '11' } }];
    const { file } = await one.issue('one', statementOf(1), isSame);
    expect(await one.holds('one', statementOf(1).subject)).toBe(true);
    await other.issue('one', { ...statementOf(2), subject }, isSame);
    expect(await one.holds('one', statementOf(1).subject)).toBe(false);
    expect(await one.holds('one', subject)).toBe(true);
    const key = createPublicKey(readFileSync((await one.publicKey()).file));
    const statement = openEnvelope(readFileSync(file, 'utf8'), key);
    expect(statement).toEqual({ ...statementOf(1), subject });
  });

  it('begin with no key beside those of another one, whose folder was named wrongly', async () => {
    const folder = temporaryFolder();
    const certificates = await open(folder);
    await certificates.assertReady();
    const { file } = await certificates.publicKey();
    const [name] = readdirSync(folder).filter((one) => join(folder, one) !== dirname(file));
    renameSync(join(folder, name!), join(folder, 'elsewhere'));
    const mistyped = await open(folder);
    const missing = { code: 'CONFIGURATION_INVALID' };
    await expect(mistyped.assertReady()).rejects.toMatchObject(missing);
    await expect(mistyped.issue('one', statementOf(1), isSame)).rejects.toMatchObject(missing);
    expect(readdirSync(dirname(file))).toEqual([basename(file)]);
    renameSync(file, join(folder, 'kept.pem'));
    await mistyped.assertReady();
  });

  it('are signed anew with what was reached since, by one key', async () => {
    const folder = temporaryFolder();
    const { file } = await (await open(folder)).issue('one', statementOf(1), isSame);
    const complete = (one: ReturnType<typeof statementOf>) => {
      return { ...one, predicate: { ...one.predicate, t1: 'reached' } };
    };
    expect(await (await open(folder)).complete('one', complete as never)).toBe(true);
    expect(await (await open(folder)).complete('another', complete as never)).toBe(false);
    const key = createPublicKey(readFileSync((await (await open(folder)).publicKey()).file));
    expect(openEnvelope(readFileSync(file, 'utf8'), key)).toEqual(complete(statementOf(1)));
  });

  it('count for nothing when somebody else put them there', async () => {
    const folder = temporaryFolder();
    const certificates = await open(folder);
    const { file } = await certificates.issue('one', statementOf(1), isSame);
    for (const planted of ['', 'null', '{}', '{"signatures":[null]}']) {
      writeFileSync(file, planted);
      expect(await certificates.holds('one', statementOf(1).subject)).toBe(false);
      const completing = certificates.complete('one', (issued) => issued);
      await expect(completing).rejects.toMatchObject({ code: 'CERTIFICATE_INVALID' });
    }
    await certificates.issue('one', statementOf(3), isSame);
    const key = createPublicKey(readFileSync((await certificates.publicKey()).file));
    expect(openEnvelope(readFileSync(file, 'utf8'), key)).toEqual(statementOf(3));
  });

  it('S51 are told with their own public key, whatever key somebody else has put there', async () => {
    const folder = temporaryFolder();
    const certificates = await open(folder);
    const own = await certificates.publicKey();
    const { file } = await certificates.issue('one', statementOf(1), isSame);
    expect(await certificates.publicKeyProblem()).toBeUndefined();
    const planted = generateKeyPairSync('ed25519').publicKey;
    writeFileSync(own.file, planted.export({ type: 'spki', format: 'pem' }));
    expect(await (await open(folder)).publicKeyProblem()).toContain(`${own.file} is another key`);
    expect(await certificates.publicKey()).toEqual(own);
    rmSync(own.file);
    expect(await certificates.publicKeyProblem()).toContain('is missing');
    expect(await certificates.publicKey()).toEqual(own);
    const key = createPublicKey(readFileSync(own.file));
    expect(keyIdOf(key)).toBe(own.keyId);
    expect(openEnvelope(readFileSync(file, 'utf8'), key)).toEqual(statementOf(1));
    // It may be the key of before, by which older certificates are verified.
    const aside = readdirSync(dirname(own.file)).filter((name) => name.includes('.other-'));
    expect(aside.length).toBe(1);
  });
});

describe.each(adapters.rootKms)('the store of a key in root KMS %s', (_, open) => {
  it('is known with the one that it was copied from, also of the key of a later turn', async () => {
    const kms = await open(temporaryFolder());
    const [original, copy] = [randomBytes(16).toString('hex'), randomBytes(16).toString('hex')];
    const first = await kms.createKey(original);
    const second = await kms.createKey(original, { insteadOf: first });
    const copied = await kms.createKey(copy, { copiedFrom: original });
    const turned = await kms.createKey(copy, { insteadOf: copied });
    expect(await kms.storeOf(turned)).toBe(copy);
    expect((await kms.keysOf(original)).toSorted()).toEqual([first, second].toSorted());
    expect((await kms.keysOf(copy)).toSorted()).toEqual([copied, turned].toSorted());
    expect(await kms.copiesOf(original)).toEqual([copy]);
    await kms.destroyKey(copied);
    expect(await kms.copiesOf(original)).toEqual([copy]);
    expect(await kms.copiesOf(copy)).toEqual([]);
  });

  it('S49 leads on to what was made of a copy when that copy’s keys have gone; those go first', async () => {
    const kms = await open(temporaryFolder());
    const [original, drill, second] = [1, 2, 3].map(() => randomBytes(16).toString('hex'));
    const first = await kms.createKey(drill!, { copiedFrom: original });
    const last = await kms.createKey(second!, { copiedFrom: drill });
    expect(await keysOfCopies(kms, original!)).toEqual([last, first]);
    await kms.destroyKey(first);
    expect(await keysOfCopies(kms, original!)).toContain(last);
  });
});

describe('who serves with a key in a folder', () => {
  it('is known whatever the clock of who asks says, and also when the marks’ clock has jumped', async () => {
    const folder = temporaryFolder();
    const openOne = () => openRootKmsLocal({ folder, randomness: createSystemRandomness() });
    const [kms, server] = [openOne(), openOne()];
    const key = await kms.createKey(randomBytes(16).toString('hex'));
    expect(await kms.isServed(key)).toBe(false);
    await server.noteServing(key, true);
    vi.useFakeTimers({ toFake: ['Date'], now: Date.now() + 3_600_000 });
    onTestFinished(() => void vi.useRealTimers());
    expect(await kms.isServed(key)).toBe(true);
    vi.useRealTimers();
    // The clock was an hour behind when the mark was written.
    const mark = readdirSync(folder).find((name) => name.endsWith('.serving'))!;
    const hourAgo = new Date(Date.now() - 3_600_000);
    utimesSync(join(folder, mark), hourAgo, hourAgo);
    const asked = kms.isServed(key);
    await sleep(100);
    await server.noteServing(key, true);
    expect(await asked).toBe(true);
    await server.noteServing(key, false);
    expect(await kms.isServed(key)).toBe(false);
  }, 60_000);
});

describe.each(adapters.rootKms)('the end of a key in root KMS %s', (engine, open) => {
  it('opens what it wrapped in the same context, until the key is destroyed', async () => {
    const folder = temporaryFolder();
    const kms = await open(folder);
    const [key, other] = [await kms.createKey('store'), await kms.createKey('store')];
    const wrapped = await kms.wrap(key, Buffer.from('secret'), 'context');
    expect((await (await open(folder)).unwrap(key, wrapped, 'context')).toString()).toBe('secret');
    const denied = { code: 'ROOT_KMS_DENIED' };
    await expect(kms.unwrap(key, wrapped, 'another')).rejects.toMatchObject(denied);
    await expect(kms.unwrap(other, wrapped, 'context')).rejects.toMatchObject(denied);
    expect(await kms.describeKey(key)).toBe('usable');
    await kms.destroyKey(key);
    await kms.destroyKey(key);
    // A service keeps a key for days before it is gone; it opens nothing meanwhile.
    expect(await kms.describeKey(key)).toBe(engine === 'local' ? 'gone' : 'pending');
    await expect((await open(folder)).unwrap(key, wrapped, 'context')).rejects.toMatchObject(
      denied,
    );
    expect(await kms.describeKey(other)).toBe('usable');
  });
});
