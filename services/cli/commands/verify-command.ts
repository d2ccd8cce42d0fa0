/** `lethe verify`: checks a certificate offline, with a public key that the reader trusts. */
import { createPublicKey } from 'node:crypto';
import { basename } from 'node:path';
import type { Command } from 'commander';
import { keyIdOf, openEnvelope } from '../../../libs/audit/dsse.ts';
import { isId } from '../../../libs/base/ids.ts';
import { LetheError } from '../../../libs/base/lethe-error.ts';
import { commitmentOf } from '../../privacy/life/certificate.ts';
import { PREDICATE_TYPE } from '../../privacy/life/certificate-texts.ts';
import { readNamedFile } from '../named-file.ts';
import { CommandEnd, exitCodes, printResult } from '../terminal.ts';

/** Adds the command. */
export function addVerifyCommand(program: Command): void {
  program
    .command('verify')
    .description('check a certificate; needs no store')
    .argument('<file>', 'the certificate')
    .requiredOption('--key <file>', 'the public key that you trust (PEM)')
    .option('--salt <hex>', 'with --user: is it about this person?')
    .option('--user <id>', 'the user id that the person had')
    .option('--json', 'print JSON')
    .action((file: string, options) => {
      const publicKey = readKey(options.key);
      const text = readNamedFile(file, 'the certificate');
      if (text.trim() === '') throw new LetheError('INPUT_INVALID', `${file} is empty`);
      const statement = openEnvelope(text, publicKey);
      const publicKeyId = keyIdOf(publicKey);
      const [subject] = statement.subject;
      if (statement.predicateType !== PREDICATE_TYPE) {
        const text = 'this certificate does not hold: it is not of an erasure by Lethe';
        throw new LetheError('CERTIFICATE_INVALID', text);
      }
      if ((options.salt === undefined) !== (options.user === undefined)) {
        throw new LetheError('INPUT_INVALID', '--salt and --user: give both or none');
      }
      // Whoever copies them from a letter may have them in capitals.
      const salt = options.salt?.toLowerCase();
      const user = options.user?.toLowerCase().replaceAll('-', '');
      if (salt !== undefined && !/^[0-9a-f]{64}$/.test(salt)) {
        throw new LetheError('INPUT_INVALID', '--salt: expected 64 hexadecimal digits');
      }
      if (user !== undefined && !isId(user)) {
        throw new LetheError('INPUT_INVALID', '--user: expected 32 hexadecimal digits');
      }
      const isTheirs = salt && commitmentOf(salt, user) === subject?.digest.sha256;
      if (salt && !isTheirs) {
        const text = 'it holds, but not with this salt and user id: is one of them mistyped?';
        throw new CommandEnd(exitCodes.failed, text);
      }
      const { predicate } = statement;
      const [, named] = /^([0-9a-f]{32})\.json$/.exec(basename(file)) ?? [];
      if (named !== undefined && named !== predicate.erasure) {
        const text = `it holds, but it is of the erasure ${predicate.erasure}, not of ${named}`;
        throw new CommandEnd(exitCodes.failed, text);
      }
      const about = isTheirs && { aboutThisPerson: true };
      const shown = { valid: true, ...about, publicKeyId, predicate };
      printResult(options.json, shown, [
        `it holds: ${subject?.name} (${predicate.kind}) of the app ${predicate.app}`,
        ...(isTheirs ? ['it is about this person'] : []),
        `signed with the key whose SHA-256 is ${publicKeyId}`,
        JSON.stringify(predicate, undefined, 2),
      ]);
    });
}

function readKey(file: string) {
  const pem = readNamedFile(file, '--key');
  if (pem.includes('PRIVATE KEY')) {
    const text = `${file} is a private key: who verifies needs the public one alone`;
    throw new LetheError('INPUT_INVALID', `--key: ${text}`);
  }
  try {
    const key = createPublicKey(pem);
    if (key.asymmetricKeyType === 'ed25519') return key;
  } catch (cause) {
    throw new LetheError('INPUT_INVALID', KEY_EXPECTED, { cause });
  }
  throw new LetheError('INPUT_INVALID', KEY_EXPECTED);
}

const KEY_EXPECTED = '--key: expected the public key of certificates: Ed25519, in PEM form';
