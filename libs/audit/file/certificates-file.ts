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
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { writeFileDurably, writeNewFileDurably } from '../../base/durable-file.ts';
import { LetheError } from '../../base/lethe-error.ts';
import type { Certificates } from '../certificates.ts';
import { openEnvelope, signStatement } from '../dsse.ts';

/** Opens the folder; key and folder are made at the first use. */
export function openCertificatesFile(folders: { folder: string; keyFolder: string }): Certificates {
  const publicFile = join(folders.folder, 'public-key.pem');
  let key: KeyObject | undefined;

  function signingKey(): KeyObject {
    key ??= readOrMakeKey(folders.keyFolder);
    if (!existsSync(publicFile)) {
      const pem = createPublicKey(key).export({ type: 'spki', format: 'pem' });
      orExplain(publicFile, () => writeFileDurably(publicFile, String(pem), 0o644));
    }
    return key;
  }

  return {
    async issue(name, statement) {
      const file = join(folders.folder, `${name}.json`);
      if (existsSync(file)) return { file, isNew: false };
      const text = JSON.stringify(signStatement(statement, signingKey()));
      return { file, isNew: orExplain(file, () => writeNewFileDurably(file, text, 0o644)) };
    },
    async complete(name, complete) {
      const file = join(folders.folder, `${name}.json`);
      if (!existsSync(file)) return false;
      const privateKey = signingKey();
      const issued = openEnvelope(readFileSync(file, 'utf8'), createPublicKey(privateKey));
      const text = JSON.stringify(signStatement(complete(issued), privateKey));
      orExplain(file, () => writeFileDurably(file, text, 0o644));
      return true;
    },
    async publicKeyFile() {
      signingKey();
      return publicFile;
    },
  };
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
    throw new LetheError('STATE_UNREACHABLE', `cannot write ${file}`, { cause });
  }
}
