/** One tenant beside another that asks for all there is: how long the quiet one waits. */

import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { environmentOf, startProcess } from '../support/processes.ts';
import { newBenchFolder, PROGRAM, runLethe } from './bench-server.ts';
import { runLoad } from './http-load.ts';

const QUIET_PER_SECOND = 30;
const QUIET_COUNT = 600;
const BUSY_CLIENTS = 8;
const WARM_MS = 2_000;

/** p50 and p99 of a tenant's posts and pages: alone, and beside a busy one; and their ratio. */
export async function benchTenants() {
  const { folder, remove } = newBenchFolder();
  const running: { stop(): Promise<void> }[] = [];
  try {
    const apps = [];
    for (const name of ['quiet', 'busy']) {
      const made = (await runLethe(folder, ['apps', 'create', name])) as unknown as Made;
      apps.push(made.app.id);
    }
    const { key } = (await runLethe(folder, [
      'keys',
      'create',
      '--scope',
      'account',
    ])) as unknown as Made;
    const authorization = `Basic ${btoa(`${key.id}:${key.secret}`)}`;
    const limits = ['--max-old-space-size=256', PROGRAM, 'serve', '--json'];
    const started = startProcess('--max-semi-space-size=8', limits, environmentOf(folder));
    running.push({
      async stop() {
        started.child.kill('SIGTERM');
        await started.ended;
      },
    });
    const address = JSON.parse((await started.printed('\n')).split('\n')[0]!).listening as string;
    const [quiet, busy] = apps.map((app) => `/v2/apps/${app}`) as [string, string];
    const post = async (path: string, body: string) => {
      const headers = { authorization, 'content-type': 'application/json' };
      return (await fetch(address + path, { method: 'POST', headers, body })).json();
    };
    const room = JSON.stringify({ type: 'sdkGroup', displayName: 'room' });
    const made = (await post(`${quiet}/conversations`, room)) as { conversation: { id: string } };
    const messages = `${quiet}/conversations/${made.conversation.id}/messages`;
    const said = JSON.stringify({
      author: { type: 'business', displayName: 'Desk' },
      content: { type: 'text', text: 'x'.repeat(200) },
    });
    for (let i = 0; i < 200; i += 1) await post(messages, said);
    const measure = () =>
      runLoad({
        address,
        authorization,
        clients: 4,
        count: QUIET_COUNT,
        perSecond: QUIET_PER_SECOND,
        next: (i) =>
          i % 2 === 0
            ? { method: 'POST', path: messages, body: said }
            : { method: 'GET', path: `${messages}?page[size]=25` },
      });
    await measure();
    const alone = await measure();
    // In a process of its own: what it is busy with must not delay who measures.
    const file = fileURLToPath(new URL('busy-tenant.ts', import.meta.url));
    const busyOne = fork(file, [`${address}${busy}/events`, authorization, String(BUSY_CLIENTS)]);
    running.push({ stop: async () => void busyOne.kill('SIGKILL') });
    await new Promise((resolve) => setTimeout(resolve, WARM_MS));
    const [sent, from] = [await sentBy(busyOne), performance.now()];
    const beside = await measure();
    const seconds = (performance.now() - from) / 1_000;
    const busyPerSecond = Math.round(((await sentBy(busyOne)) - sent) / seconds);
    const ratio = Math.round((100 * beside.p99Ms) / alone.p99Ms) / 100;
    return { alone, beside, busyPerSecond, p99Ratio: ratio };
  } finally {
    for (const one of running.toReversed()) await one.stop();
    remove();
  }
}

async function sentBy(busy: ChildProcess): Promise<number> {
  busy.send('how many');
  return (await once(busy, 'message'))[0];
}

interface Made {
  readonly app: { readonly id: string };
  readonly key: { readonly id: string; readonly secret: string };
}
