import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { createSystemRandomness } from '../../libs/base/random.ts';
import { openRootKmsLocal } from '../../libs/vault/keys/local/root-kms-local.ts';
import { temporaryFolder } from '../support/temporary-store.ts';

interface Frozen {
  readonly key: string;
  readonly file: string;
  readonly wrapped: string;
  readonly passphrase?: string;
}

// Source: written once by the code that froze format 1 of the local key file.
const frozen = JSON.parse(
  readFileSync(join(import.meta.dirname, 'local-key-1.json'), 'utf8'),
) as Record<string, Frozen>;

describe('frozen local key files of format 1', () => {
  it.each(Object.entries(frozen))('%s opens what it wrapped', async (_, one) => {
    const folder = join(temporaryFolder(), 'keys');
    mkdirSync(folder);
    writeFileSync(join(folder, `${one.key}.key`), Buffer.from(one.file, 'hex'), { mode: 0o600 });
    const { passphrase } = one;
    const randomness = createSystemRandomness();
    const kms = openRootKmsLocal({ folder, randomness, ...(passphrase && { passphrase }) });
    const plain = await kms.unwrap(one.key as never, Buffer.from(one.wrapped, 'hex'), 'context');
    expect(plain.toString()).toBe('frozen root');
  });
});
