/**
 * Certificates as files. The signing key lies beside the KMS keys, mode 0600; its public half lies
 * with the certificates, to be handed out.
 */
import {
  createPrivateKey,
  createPublicKey,
  generateKeyPairSync,
  type KeyObject,
} from 'node:crypto';
import { accessSync, constants, existsSync, renameSync } from 'node:fs';
import { join } from 'node:path';
import {
  fileFailure,
  makeFolders,
  readRegularFile,
  writeFileDurably,
  writeNewFileDurably,
} from '../../base/durable-file.ts';
import { isLetheError, LetheError } from '../../base/lethe-error.ts';
import { sha256 } from '../../codec/hash.ts';
import type { Certificates } from '../certificates.ts';
import { keyIdOf, openEnvelope, type Statement, signStatement } from '../dsse.ts';

/** Opens the folder; key and folder are made at the first use. */
export function openCertificatesFile(folders: { folder: string; keyFolder: string }): Certificates {
  const publicFile = join(folders.folder, 'public-key.pem');
  let key: KeyObject | undefined;

  function signingKey(): KeyObject {
    key ??= readOrMakeKey(folders.keyFolder, publicFile);
    return key;
  }

  const publicPem = () => {
    return String(createPublicKey(signingKey()).export({ type: 'spki', format: 'pem' }));
  };

  /** What lies in the place of the public key, and is another; undefined: nothing is. */
  function foreignText(): string | undefined {
    if (!existsSync(publicFile)) return undefined;
    const text = orNothing(() => readText(publicFile)) ?? '';
    // A line may end in another way where the file went over another system.
    return text.replaceAll('\r', '') === publicPem() ? undefined : text;
  }

  const fileOf = (name: string) => join(folders.folder, `${name}.json`);

  /** What lies there, if we have signed it: whoever may write there may have put anything. */
  function readOwn(name: string): Statement | undefined {
    const file = fileOf(name);
    if (!existsSync(file)) return undefined;
    return orNothing(() => openEnvelope(readText(file), createPublicKey(signingKey())));
  }

  return {
    async assertReady() {
      const { folder } = folders;
      orExplain(CERTIFICATES, folder, () => {
        makeFolders(folder, 0o777);
        accessSync(folder, constants.W_OK);
      });
      signingKey();
    },
    async issue(name, statement, isSame) {
      const file = fileOf(name);
      const issued = readOwn(name);
      const isAgain = issued !== undefined && isSame(issued);
      const signed = isAgain ? { ...issued, subject: statement.subject } : statement;
      const text = JSON.stringify(signStatement(signed, signingKey()));
      orExplain(CERTIFICATES, file, () => writeFileDurably(file, text, 0o644));
      return { file };
    },
    async find(name) {
      const statement = readOwn(name);
      return statement && { file: fileOf(name), statement };
    },
    async isForeign(name) {
      return existsSync(fileOf(name)) && readOwn(name) === undefined;
    },
    async holds(name, subject) {
      return JSON.stringify(readOwn(name)?.subject) === JSON.stringify(subject);
    },
    async complete(name, complete) {
      const file = fileOf(name);
      if (!existsSync(file)) return false;
      const privateKey = signingKey();
      const issued = openEnvelope(readText(file), createPublicKey(privateKey));
      const text = JSON.stringify(signStatement(complete(issued), privateKey));
      orExplain(CERTIFICATES, file, () => writeFileDurably(file, text, 0o644));
      return true;
    },
    async publicKey() {
      const foreign = foreignText();
      if (foreign !== undefined) {
        const aside = join(folders.folder, `public-key.other-${sha256Hex(foreign)}.pem`);
        orExplain(CERTIFICATES, aside, () => renameSync(publicFile, aside));
      }
      if (!existsSync(publicFile)) {
        orExplain(CERTIFICATES, publicFile, () => writeFileDurably(publicFile, publicPem(), 0o644));
      }
      return { file: publicFile, keyId: keyIdOf(createPublicKey(signingKey())) };
    },
    async publicKeyProblem() {
      if (foreignText() !== undefined) {
        return `${publicFile} is another key: what verifies with it was not signed by this store`;
      }
      if (existsSync(publicFile) || !existsSync(privateFileOf(folders.keyFolder))) return undefined;
      return `${publicFile} is missing: nobody verifies without it; the next certificate makes it`;
    },
  };
}

/** Undefined: it is nothing that we have signed or written. */
function orNothing<Result>(read: () => Result): Result | undefined {
  try {
    return read();
  } catch (error) {
    if (isLetheError(error, 'CERTIFICATE_INVALID')) return undefined;
    throw error;
  }
}

/** Throws CERTIFICATE_INVALID for a folder or a pipe: it is nothing that we have written. */
function readText(file: string): string {
  return orExplain(CERTIFICATES, file, () => {
    try {
      return readRegularFile(file).toString('utf8');
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'NOT_A_FILE') throw error;
      throw new LetheError('CERTIFICATE_INVALID', `${file} is no file`, { cause: error });
    }
  });
}

/** For a file's name. */
function sha256Hex(text: string): string {
  return sha256(Buffer.from(text)).toString('hex', 0, 8);
}

function privateFileOf(folder: string): string {
  return join(folder, 'certificates.ed25519.pem');
}

/** A key is made for the first certificate: others would not hold beside those of another key. */
function readOrMakeKey(folder: string, publicFile: string): KeyObject {
  const file = privateFileOf(folder);
  if (!existsSync(file)) {
    if (existsSync(publicFile)) throw keyMissing(file, publicFile);
    const { privateKey } = generateKeyPairSync('ed25519');
    const pem = String(privateKey.export({ type: 'pkcs8', format: 'pem' }));
    orExplain(SIGNING_KEYS, file, () => writeNewFileDurably(file, pem, 0o600));
  }
  return createPrivateKey(orExplain(SIGNING_KEYS, file, () => readRegularFile(file)));
}

const CERTIFICATES = 'LETHE_CERTIFICATES';
const SIGNING_KEYS = 'LETHE_SIGNING_KEYS';

function keyMissing(file: string, publicFile: string): LetheError {
  const text =
    `LETHE_SIGNING_KEYS: ${file} is not there, but ${publicFile} is of certificates that it has ` +
    'signed: name the folder of that key. If the key is lost, keep its public key elsewhere, and ' +
    'move it away from there: later certificates have another one';
  return new LetheError('CONFIGURATION_INVALID', text);
}

function orExplain<Result>(variable: string, file: string, write: () => Result): Result {
  try {
    return write();
  } catch (cause) {
    if (isLetheError(cause)) throw cause;
    throw fileFailure(cause, 'CONFIGURATION_INVALID', `${variable}: cannot use ${file}`);
  }
}
