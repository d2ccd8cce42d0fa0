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
import { existsSync, readFileSync, renameSync } from 'node:fs';
import { join } from 'node:path';
import { writeFileDurably, writeNewFileDurably } from '../../base/durable-file.ts';
import { isLetheError, LetheError } from '../../base/lethe-error.ts';
import { sha256 } from '../../codec/hash.ts';
import type { Certificates } from '../certificates.ts';
import { keyIdOf, openEnvelope, type Statement, signStatement } from '../dsse.ts';

/** Opens the folder; key and folder are made at the first use. */
export function openCertificatesFile(folders: { folder: string; keyFolder: string }): Certificates {
  const publicFile = join(folders.folder, 'public-key.pem');
  let key: KeyObject | undefined;

  function signingKey(): KeyObject {
    key ??= readOrMakeKey(folders.keyFolder);
    return key;
  }

  const publicPem = () => {
    return String(createPublicKey(signingKey()).export({ type: 'spki', format: 'pem' }));
  };

  /** What lies in the place of the public key, and is another; undefined: nothing is. */
  function foreignText(): string | undefined {
    if (!existsSync(publicFile)) return undefined;
    const text = orExplain(publicFile, () => readFileSync(publicFile, 'utf8'));
    // A line may end in another way where the file went over another system.
    return text.replaceAll('\r', '') === publicPem() ? undefined : text;
  }

  const fileOf = (name: string) => join(folders.folder, `${name}.json`);

  /** What lies there, if we have signed it: whoever may write there may have put anything. */
  function readOwn(name: string): Statement | undefined {
    const file = fileOf(name);
    if (!existsSync(file)) return undefined;
    try {
      return openEnvelope(readFileSync(file, 'utf8'), createPublicKey(signingKey()));
    } catch (error) {
      if (isLetheError(error, 'CERTIFICATE_INVALID')) return undefined;
      throw error;
    }
  }

  return {
    async issue(name, statement, isSame) {
      const file = fileOf(name);
      const issued = readOwn(name);
      const isAgain = issued !== undefined && isSame(issued);
      const signed = isAgain ? { ...issued, subject: statement.subject } : statement;
      const text = JSON.stringify(signStatement(signed, signingKey()));
      orExplain(file, () => writeFileDurably(file, text, 0o644));
      return { file };
    },
    async find(name) {
      const statement = readOwn(name);
      return statement && { file: fileOf(name), statement };
    },
    async holds(name, subject) {
      return JSON.stringify(readOwn(name)?.subject) === JSON.stringify(subject);
    },
    async complete(name, complete) {
      const file = fileOf(name);
      if (!existsSync(file)) return false;
      const privateKey = signingKey();
      const issued = openEnvelope(readFileSync(file, 'utf8'), createPublicKey(privateKey));
      const text = JSON.stringify(signStatement(complete(issued), privateKey));
      orExplain(file, () => writeFileDurably(file, text, 0o644));
      return true;
    },
    async publicKey() {
      const foreign = foreignText();
      if (foreign !== undefined) {
        const aside = join(folders.folder, `public-key.other-${sha256Hex(foreign)}.pem`);
        orExplain(aside, () => renameSync(publicFile, aside));
      }
      if (!existsSync(publicFile)) {
        orExplain(publicFile, () => writeFileDurably(publicFile, publicPem(), 0o644));
      }
      return { file: publicFile, keyId: keyIdOf(createPublicKey(signingKey())) };
    },
    async foreignKeyFile() {
      return foreignText() === undefined ? undefined : publicFile;
    },
  };
}

/** For a file's name. */
function sha256Hex(text: string): string {
  return sha256(Buffer.from(text)).toString('hex', 0, 8);
}

function readOrMakeKey(folder: string): KeyObject {
  const file = join(folder, 'certificates.ed25519.pem');
  if (!existsSync(file)) {
    const { privateKey } = generateKeyPairSync('ed25519');
    const pem = String(privateKey.export({ type: 'pkcs8', format: 'pem' }));
    orExplain(file, () => writeNewFileDurably(file, pem, 0o600));
  }
  return createPrivateKey(readFileSync(file));
}

function orExplain<Result>(file: string, write: () => Result): Result {
  try {
    return write();
  } catch (cause) {
    throw new LetheError('STATE_UNREACHABLE', `cannot use ${file}`, { cause });
  }
}
