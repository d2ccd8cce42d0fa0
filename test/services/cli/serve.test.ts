import { once } from 'node:events';
import { readdirSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { type AddressInfo, connect, createServer } from 'node:net';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { describe, expect, it } from 'vitest';
import { lethe, startLethe, startScript } from '../../support/processes.ts';
import { embeddedVariables, temporaryFolder } from '../../support/temporary-store.ts';

const PROGRAM = join(import.meta.dirname, '../../../services/cli/main.ts');
const PRELOAD = join(import.meta.dirname, '../../support/end-when-listening.ts');

async function folderWithStore(): Promise<string> {
  const folder = temporaryFolder();
  expect(await lethe(folder, ['apps', 'create', 'main'])).toMatchObject({ code: 0 });
  return folder;
}

describe('lethe serve', () => {
  it.each([[[]], [['projector']]])(
    '%j that is asked to end as soon as it has said that it listens ends in order',
    async (services) => {
      const more = { NODE_OPTIONS: `--import=${PRELOAD}` };
      const folder = await folderWithStore();
      const ended = await startLethe(folder, ['serve', ...services], more).ended;
      expect(ended).toMatchObject({ code: 0, signal: null });
      expect(ended.out).toContain('listening');
    },
  );

  it.each([[['projector']], [['reader']], [['privacy', 'reader', 'projector']]])(
    '%j makes nothing where no store is, says so, and serves once somebody has made one',
    async (services) => {
      const folder = temporaryFolder();
      const running = startLethe(folder, ['serve', ...services]);
      expect(await running.warned('waiting for it')).toContain('there is no store here');
      expect(readdirSync(folder)).toEqual([]);
      expect(await lethe(folder, ['apps', 'create', 'main'])).toMatchObject({ code: 0 });
      await running.printed('listening');
      running.child.kill('SIGTERM');
      expect(await running.ended).toMatchObject({ code: 0 });
    },
  );

  it.each([
    ['has sent half of the head of a request', 'GET /healthz HTTP/1.1\r\nhost: le'],
    [
      'sends a body without an end',
      'POST /v2/apps HTTP/1.1\r\nhost: lethe\r\ncontent-type: application/json\r\n' +
        'transfer-encoding: chunked\r\n\r\n2\r\n{"\r\n',
    ],
  ])(
    'ends within seconds, though a client %s',
    async (_, begun) => {
      const running = startLethe(await folderWithStore(), ['serve', 'reader']);
      const [, port] = /http:\/\/127\.0\.0\.1:(\d+)/.exec(await running.printed('listening'))!;
      const client = connect({ host: '127.0.0.1', port: Number(port) });
      client.on('error', () => undefined);
      client.write(begun);
      await sleep(300);
      const began = performance.now();
      running.child.kill('SIGTERM');
      expect(await running.ended).toMatchObject({ code: 0 });
      expect(performance.now() - began).toBeLessThan(10_000);
    },
    90_000,
  );

  it.each(['LETHE_CERTIFICATES', 'LETHE_ERASURES', 'LETHE_BACKUPS', 'LETHE_SIGNING_KEYS'])(
    'privacy does not start where an erasure or a turn could not write: %s',
    async (variable) => {
      const folder = await folderWithStore();
      const place = join(folder, 'taken');
      writeFileSync(place, '');
      const { code, err } = await lethe(folder, ['serve', 'privacy'], { [variable]: place });
      expect(code).not.toBe(0);
      expect(err).toContain(`${variable}: ${place} is a file, not a folder`);
    },
  );

  it.each([[[]], [['projector']]])(
    '%j ends within seconds when the files of its store are moved away: it takes nothing in there',
    async (services) => {
      const folder = await folderWithStore();
      const running = startLethe(folder, ['serve', ...services]);
      await running.printed('listening');
      renameSync(join(folder, 'data'), join(folder, 'lost'));
      const { code, err } = await running.ended;
      expect(code).toBe(1);
      expect(err).toContain('was moved away or replaced while this process had it open');
    },
  );

  it('projector goes on when the processes that have the vault open have ended', async () => {
    const folder = await folderWithStore();
    const others = startLethe(folder, ['serve', 'ingest', 'reader', 'privacy']);
    const projector = startLethe(folder, ['serve', 'projector']);
    await Promise.all([others.printed('listening'), projector.printed('listening')]);
    others.child.kill('SIGTERM');
    expect(await others.ended).toMatchObject({ code: 0 });
    await sleep(1_500);
    expect(projector.child.exitCode).toBeNull();
    projector.child.kill('SIGTERM');
    expect(await projector.ended).toMatchObject({ code: 0 });
  });

  it('S51 projector runs with the log and the views alone, and says what it should not have', async () => {
    const folder = await folderWithStore();
    const { LETHE_LOG, LETHE_STATE, LETHE_VIEWS, ...others } = embeddedVariables(folder);
    const own = { LETHE_LOG, LETHE_STATE, LETHE_VIEWS, LETHE_HTTP: '127.0.0.1:0' };
    const start = (variables: object) =>
      startScript(
        PROGRAM,
        ['serve', 'projector'],
        { PATH: process.env.PATH, ...variables },
        folder,
      );
    const vaultFiles = () =>
      readdirSync(join(folder, 'data')).filter((name) => name.startsWith('vault'));
    for (const name of vaultFiles()) rmSync(join(folder, 'data', name));
    const lean = start(own);
    await lean.printed('listening');
    lean.child.kill('SIGTERM');
    expect(await lean.ended).toMatchObject({ code: 0 });
    expect((await lean.ended).err).not.toContain('unset');
    expect(vaultFiles()).toEqual([]);
    const rich = start({ ...own, ...others, LETHE_KMS_PASSPHRASE: 'secret words' });
    await rich.printed('listening');
    rich.child.kill('SIGTERM');
    const { err } = await rich.ended;
    expect(err).toContain('needs no LETHE_VAULT, LETHE_KMS, LETHE_KMS_PASSPHRASE: unset them');
    expect(err).not.toContain('secret words');
  });

  it('prints the secret of its first app once it listens: a port that is taken loses none', async () => {
    const folder = temporaryFolder();
    const taken = createServer().listen(0, '127.0.0.1');
    await once(taken, 'listening');
    const { port } = taken.address() as AddressInfo;
    const variables = { LETHE_HTTP: `127.0.0.1:${port}` };
    const refused = await startLethe(folder, ['serve'], variables).ended;
    expect(refused.code).toBe(2);
    expect(refused.err).toMatch(/127\.0\.0\.1:\d+ is in use/);
    taken.close();
    const running = startLethe(folder, ['serve'], variables);
    expect(await running.printed('listening')).toMatch(/secret {2}\S{20,}/);
    running.child.kill('SIGTERM');
    expect(await running.ended).toMatchObject({ code: 0 });
  });
});
