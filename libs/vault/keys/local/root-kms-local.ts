/**
 * A key folder as root KMS: one file per key, mode 0600, its key wrapped under a passphrase
 * (scrypt, RFC 7914) when one is given. The folder must not lie inside the data folder.
 *
 * `ID.store` names the store that a key was made for, and the one that it was copied from, if it
 * was. It stays when the key goes. `ID.PROCESS.serving` is written anew by each process that serves
 * with it. `ID.gone` stays when a key was destroyed: a folder that has neither key nor mark never
 * had it, and says nothing of where it is.
 *
 *   format u8 ‖ lp(KDF name) ‖ N u32 ‖ r u32 ‖ p u32 ‖ lp(salt) ‖ lp(wrap, or key when KDF "none")
 */
import { randomFillSync, scryptSync } from 'node:crypto';
import {
  closeSync,
  existsSync,
  fsyncSync,
  openSync,
  readdirSync,
  rmSync,
  statSync,
  unlinkSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { basename, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { lp } from '../../../base/bytes.ts';
import { readRegularFile, syncFolder, writeFileDurably } from '../../../base/durable-file.ts';
import type { KeyId } from '../../../base/ids.ts';
import { LetheError } from '../../../base/lethe-error.ts';
import { type Randomness, randomId } from '../../../base/random.ts';
import { secretBytes, secretCopy } from '../../../base/secret-bytes.ts';
import { labels } from '../../../codec/labels.ts';
import { WrappingKey } from '../../../keyring/wrapping-key.ts';
import type { RootKms } from '../root-kms.ts';

const FORMAT = 1;
const SCRYPT = { N: 32_768, r: 8, p: 1 };
const SCRYPT_MEMORY_MAX = 128 * 1024 * 1024;
const SALT_BYTES = 16;
// A process that serves says so every twenty seconds.
const SERVED_MS = 60_000;
const SEEN_AGAIN_MS = 45_000;
const LOOK_MS = 250;

/** Opens a key folder; it is made when it is missing and `createKey` is called. */
export function openRootKmsLocal(options: {
  folder: string;
  passphrase?: string;
  randomness: Randomness;
}): RootKms {
  const { folder, passphrase, randomness } = options;
  let callCount = 0;
  let failureCount = 0;
  const own: string = randomId(randomness);
  // A key of its own for each call, which wipes it.
  const load = async (id: string) => readKey(fileOf(folder, id), id, options);
  return {
    remembersKeys: true,
    async createKey(store, { insteadOf, copiedFrom } = {}) {
      callCount += 1;
      const id = randomId<KeyId>(randomness);
      const from = copiedFrom ?? (insteadOf && readStore(folder, insteadOf).copiedFrom);
      const mark = from === undefined ? store : `${store} ${from}`;
      writeFileDurably(markOf(folder, id, 'store'), Buffer.from(mark), 0o600);
      const key = randomFillSync(secretBytes(32));
      writeFileDurably(
        fileOf(folder, id),
        encodeKeyFile(id, key, { passphrase, randomness }),
        0o600,
      );
      key.fill(0);
      // In the names of those who serve: each takes its own away when it ends.
      for (const mark of insteadOf === undefined ? [] : servingMarks(folder, insteadOf)) {
        writeFileSync(join(folder, basename(mark).replace(insteadOf!, id)), '', { mode: 0o600 });
      }
      return id;
    },
    async wrap(id, plain, context) {
      callCount += 1;
      const key = await load(id);
      try {
        return key.wrap(plain, contextBytes(id, context));
      } finally {
        key.destroy();
      }
    },
    async unwrap(id, wrapped, context) {
      callCount += 1;
      const key = await load(id);
      const plain = key.unwrap(wrapped, contextBytes(id, context));
      key.destroy();
      if (plain !== undefined) return plain;
      failureCount += 1;
      throw new LetheError(
        'ROOT_KMS_DENIED',
        `the key ${id} in ${folder} does not open this vault: is it the folder of another vault?`,
      );
    },
    async destroyKey(id) {
      callCount += 1;
      if (!existsSync(fileOf(folder, id))) return;
      // The mark first: it counts only when the key is not there, and must not be missing then.
      writeFileDurably(markOf(folder, id, 'gone'), Buffer.alloc(0), 0o600);
      eraseDurably(folder, fileOf(folder, id));
      // Its store mark stays: it leads to what was copied from that store.
      for (const mark of servingMarks(folder, id)) rmSync(mark, { force: true });
    },
    async describeKey(id) {
      callCount += 1;
      if (existsSync(fileOf(folder, id))) return 'usable';
      return existsSync(markOf(folder, id, 'gone')) ? 'gone' : 'unknown';
    },
    async keysOf(store) {
      return keysIn(folder).filter((id) => readStore(folder, id).store === store);
    },
    async copiesOf(store) {
      const marks = namesIn(folder, '.store').map((id) => readStore(folder, id));
      const copies = marks.filter(({ copiedFrom }) => copiedFrom === store);
      return [...new Set(copies.map((one) => one.store!))];
    },
    async storeOf(id) {
      return readStore(folder, id).store;
    },
    async noteServing(id, isServing) {
      const mark = join(folder, `${id}.${own}.serving`);
      if (isServing) writeFileSync(mark, '', { mode: 0o600 });
      else rmSync(mark, { force: true });
    },
    async isServed(id) {
      const before = servedAtMs(folder, id);
      if (before === undefined) return false;
      const agoMs = nowOf(folder, own) - before;
      if (agoMs >= 0 && agoMs <= SERVED_MS) return true;
      // The clock may have jumped since: who serves is seen to note it again.
      const untilMs = performance.now() + SEEN_AGAIN_MS;
      while (servedAtMs(folder, id) === before) {
        if (performance.now() >= untilMs) return false;
        await sleep(LOOK_MS);
      }
      return servedAtMs(folder, id) !== undefined;
    },
    async broughtBack() {
      const names = new Set(existsSync(folder) ? readdirSync(folder) : []);
      const ids = [...names].filter((name) => name.endsWith('.gone')).map((n) => n.slice(0, -5));
      return (ids as KeyId[]).filter((id) => names.has(`${id}.key`));
    },
    get callCount() {
      return callCount;
    },
    get failureCount() {
      return failureCount;
    },
  };
}

function fileOf(folder: string, id: string): string {
  return join(folder, `${id}.key`);
}

function markOf(folder: string, id: string, mark: 'store' | 'gone'): string {
  return join(folder, `${id}.${mark}`);
}

/** One of each process that serves with a key, or was killed while it did. */
function servingMarks(folder: string, id: string): string[] {
  const names = existsSync(folder) ? readdirSync(folder) : [];
  const own = names.filter((name) => name.startsWith(`${id}.`) && name.endsWith('.serving'));
  return own.map((name) => join(folder, name));
}

/** When one of them was last written; undefined: there is none. */
function servedAtMs(folder: string, id: string): number | undefined {
  const times = servingMarks(folder, id).map((mark) => {
    return statSync(mark, { throwIfNoEntry: false })?.mtimeMs ?? 0;
  });
  return times.length === 0 ? undefined : Math.max(...times);
}

/** Now, by the clock that wrote the marks: the folder may lie on another machine's disk. */
function nowOf(folder: string, own: string): number {
  const probe = join(folder, `${own}.now`);
  writeFileSync(probe, '', { mode: 0o600 });
  const { mtimeMs } = statSync(probe);
  rmSync(probe);
  return mtimeMs;
}

function keysIn(folder: string): KeyId[] {
  return namesIn(folder, '.key');
}

function namesIn(folder: string, ending: string): KeyId[] {
  const names = existsSync(folder) ? readdirSync(folder) : [];
  const own = names.filter((name) => name.endsWith(ending));
  return own.map((name) => name.slice(0, -ending.length) as KeyId);
}

/** The store that a key was made for, and the one that it was copied from. */
function readStore(folder: string, id: string): { store?: string; copiedFrom?: string } {
  const file = markOf(folder, id, 'store');
  if (!existsSync(file)) return {};
  const [store, copiedFrom] = readRegularFile(file).toString('utf8').split(' ');
  return { ...(store && { store }), ...(copiedFrom && { copiedFrom }) };
}

function contextBytes(id: string, context: string): Buffer {
  return Buffer.concat([labels.localKms, lp(Buffer.from(id, 'hex')), lp(context)]);
}

function passphraseKey(
  id: KeyId,
  secret: { passphrase: string; salt: Buffer; cost: typeof SCRYPT },
  randomness: Randomness,
): WrappingKey {
  const options = { ...secret.cost, maxmem: SCRYPT_MEMORY_MAX };
  const key = scryptSync(secret.passphrase.normalize('NFKC'), secret.salt, 32, options);
  return new WrappingKey(id, key, randomness);
}

function encodeKeyFile(
  id: KeyId,
  key: Buffer,
  options: { passphrase: string | undefined; randomness: Randomness },
): Buffer {
  const { passphrase, randomness } = options;
  const salt = randomness.fill(Buffer.alloc(SALT_BYTES));
  const cost = passphrase === undefined ? { N: 0, r: 0, p: 0 } : SCRYPT;
  const parameters = Buffer.alloc(12);
  parameters.writeUInt32BE(cost.N, 0);
  parameters.writeUInt32BE(cost.r, 4);
  parameters.writeUInt32BE(cost.p, 8);
  const body =
    passphrase === undefined
      ? key
      : passphraseKey(id, { passphrase, salt, cost }, randomness).wrap(key, contextBytes(id, ''));
  const name = passphrase === undefined ? 'none' : 'scrypt';
  return Buffer.concat([Buffer.from([FORMAT]), lp(name), parameters, lp(salt), lp(body)]);
}

function readKey(
  file: string,
  id: string,
  options: { folder: string; passphrase?: string; randomness: Randomness },
): WrappingKey {
  if (!existsSync(file)) {
    if (existsSync(markOf(options.folder, id, 'gone'))) {
      throw denied(`the key ${id} was ended on purpose: nothing opens this vault any more`);
    }
    throw denied(`the key file ${file} is missing: LETHE_KMS must name the vault's key folder`);
  }
  if ((statSync(file).mode & 0o077) !== 0) {
    throw denied(`the key file ${file} is open to other users: run chmod 600 on it`);
  }
  const content = readRegularFile(file);
  const parsed = parseKeyFile(content, file);
  content.fill(0);
  if (parsed.kdf === 'none' && options.passphrase !== undefined) {
    throw denied(`the key file ${file} has no passphrase: unset LETHE_KMS_PASSPHRASE`);
  }
  if (parsed.kdf === 'none') return new WrappingKey(id as KeyId, parsed.body, options.randomness);
  if (options.passphrase === undefined) {
    throw denied(`the key file ${file} has a passphrase: set LETHE_KMS_PASSPHRASE`);
  }
  const secret = { passphrase: options.passphrase, salt: parsed.salt, cost: parsed.cost };
  const wrapping = passphraseKey(id as KeyId, secret, options.randomness);
  const key = wrapping.unwrap(parsed.body, contextBytes(id, ''));
  wrapping.destroy();
  if (key === undefined) {
    throw denied(`wrong LETHE_KMS_PASSPHRASE for the key file ${file}, or the file is damaged`);
  }
  return new WrappingKey(id as KeyId, key, options.randomness);
}

function parseKeyFile(bytes: Buffer, file: string) {
  const damaged = denied(`the key file ${file} is damaged: restore it from your copy`);
  let at = 1;
  const take = () => {
    if (at + 4 > bytes.length) throw damaged;
    const end = at + 4 + bytes.readUInt32BE(at);
    if (end > bytes.length) throw damaged;
    const part = bytes.subarray(at + 4, end);
    at = end;
    return part;
  };
  if (bytes[0] !== FORMAT) throw damaged;
  const kdf = take().toString('utf8');
  if ((kdf !== 'none' && kdf !== 'scrypt') || at + 12 > bytes.length) throw damaged;
  const [N, r, p] = [0, 4, 8].map((i) => bytes.readUInt32BE(at + i)) as [number, number, number];
  at += 12;
  const salt = Buffer.from(take());
  const body = secretCopy(take());
  if (at !== bytes.length || (kdf === 'none' && body.length !== 32)) throw damaged;
  if (kdf === 'scrypt' && N * r * 128 > SCRYPT_MEMORY_MAX) throw damaged;
  return { kdf, cost: { N, r, p }, salt, body };
}

function denied(message: string): LetheError {
  return new LetheError('ROOT_KMS_DENIED', message);
}

/** Overwritten, synced, unlinked. What the disk itself keeps of the old block is out of reach. */
function eraseDurably(folder: string, file: string): void {
  if (!existsSync(file)) return;
  const handle = openSync(file, 'r+');
  writeSync(handle, randomFillSync(Buffer.alloc(statSync(file).size)), 0, undefined, 0);
  fsyncSync(handle);
  closeSync(handle);
  unlinkSync(file);
  syncFolder(folder);
}
