import { readFileSync, writeFileSync } from 'node:fs';
import { request } from 'node:https';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { makeCertificate } from '../servers/certificates.ts';
import { PERSONAL, received } from '../support/events.ts';
import { lethe, startLethe } from '../support/processes.ts';
import { embeddedVariables, temporaryFolder } from '../support/temporary-store.ts';

function statusOf(url: string, ca: Buffer | undefined): Promise<number | undefined> {
  return new Promise((resolve, reject) => {
    const asked = request(url, ca === undefined ? {} : { ca }, (answer) => {
      answer.resume();
      resolve(answer.statusCode);
    });
    asked.on('error', reject);
    asked.end();
  });
}

describe('a server of Lethe with a certificate', () => {
  it('speaks HTTPS alone, and is attacked through it when somebody is erased', async () => {
    const folder = temporaryFolder();
    const { caFile, keyFile } = makeCertificate(join(folder, 'tls'));
    const variables = {
      ...embeddedVariables(folder),
      LETHE_HTTP_TLS: `cert=${caFile}&key=${keyFile}`,
      NODE_EXTRA_CA_CERTS: caFile,
    };
    const run = async (...args: string[]) => {
      const ended = await lethe(folder, args, variables);
      expect(ended.code, ended.err).toBe(0);
      return ended.json;
    };
    await run('apps', 'create', 'demo');
    await run('keys', 'create', '--app', 'demo');
    const serving = startLethe(folder, ['serve', '--json'], variables);
    const { listening } = JSON.parse((await serving.printed('\n')).trim());
    expect(listening).toMatch(/^https:/);
    expect(await statusOf(`${listening}/healthz`, readFileSync(caFile))).toBe(200);
    // Who does not know the certificate does not trust it; who speaks no TLS is not answered.
    await expect(statusOf(`${listening}/healthz`, undefined)).rejects.toThrow('self-signed');
    await expect(fetch(listening.replace('https:', 'http:'))).rejects.toThrow('fetch failed');

    const file = join(folder, 'in.jsonl');
    writeFileSync(file, JSON.stringify(received('ann', 'hers', { conversation: PERSONAL })));
    await run('ingest', file, '--app', 'demo');
    const { subjectId } = await run('find', 'chat', 'ann', '--app', 'demo');
    const { attack } = await run('erase', 'subject', subjectId, '--app', 'demo');
    const [asked] = attack.services;
    expect(asked).toMatchObject({ door: listening, opened: 0 });
    expect(asked.requests).toBeGreaterThan(1);
    serving.child.kill('SIGTERM');
    expect((await serving.ended).code).toBe(0);
  });

  it('does not start with a key that is not there or not of the certificate, and says so', async () => {
    const folder = temporaryFolder();
    const [own, other] = ['own', 'other'].map((name) => makeCertificate(join(folder, name)));
    for (const keyFile of [join(folder, 'none.pem'), other!.keyFile]) {
      const variables = {
        ...embeddedVariables(folder),
        LETHE_HTTP_TLS: `cert=${own!.caFile}&key=${keyFile}`,
      };
      const ended = await lethe(folder, ['serve'], variables);
      expect(ended.code).not.toBe(0);
      expect(ended.err).toMatch(
        /LETHE_HTTP_TLS: (certificate and key|\/.*none\.pem) cannot be used/,
      );
    }
  });
});
