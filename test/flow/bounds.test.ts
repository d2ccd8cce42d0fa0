import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { describe, expect, it, onTestFinished } from 'vitest';
import { createApp } from '../../services/operations/create-app.ts';
import { startServer } from '../../services/server/serve.ts';
import { identity, received, sent } from '../support/events.ts';
import { openTestStore } from '../support/temporary-store.ts';

/** A server with two tenants, each with a key. */
async function openTenants() {
  const store = await openTestStore();
  const administration = store.backends.administration();
  const other = await createApp(administration, { name: 'other', buckets: 16 });
  const server = await startServer(store);
  onTestFinished(() => server.stop());
  const { accessKeys, clock } = administration;
  const tenantOf = async (app: string) => {
    const of = { app: app as never, scope: 'app' as const, nowMs: clock.nowMs() };
    const { id, secret } = await accessKeys.create(of);
    const authorization = `Basic ${btoa(`${id}:${secret}`)}`;
    return { path: `/v2/apps/${app}/events`, authorization };
  };
  const isKnown = async (name: string) => {
    const { directory } = store.backends.reader();
    const [found] = await directory.findSubjects(store.app.id, [identity(name)]);
    return found !== undefined;
  };
  const tenants = [await tenantOf(store.app.id), await tenantOf(other.id)];
  return { address: server.address, tenants, isKnown };
}

type Tenant = Awaited<ReturnType<typeof openTenants>>['tenants'][number];

/** Says that a body of so many bytes comes, and sends the first of them. */
async function begin(address: string, { path, authorization }: Tenant, bytes: number) {
  const { hostname, port } = new URL(address);
  const socket: Socket = connect({ host: hostname, port: Number(port) });
  onTestFinished(() => void socket.destroy());
  await once(socket, 'connect');
  const head = [`POST ${path} HTTP/1.1`, 'host: lethe', `authorization: ${authorization}`];
  head.push('content-type: application/json', `content-length: ${bytes}`);
  socket.write(`${head.join('\r\n')}\r\n\r\n[`);
  const answered = once(socket, 'data').then(([data]) => String(data).slice(9, 12));
  return { socket, status: () => Promise.race([answered, sleep(500).then(() => 'waits')]) };
}

const post = (address: string, { path, authorization }: Tenant) =>
  fetch(address + path, {
    method: 'POST',
    headers: { authorization, 'content-type': 'application/json' },
    body: JSON.stringify([received('ann', 'words')]),
  });

describe('S55 bodies that are sent and held', () => {
  it('are bounded for each tenant: who sends too much is told so, and others are served', async () => {
    const { address, tenants } = await openTenants();
    const [busy, quiet] = tenants as [Tenant, Tenant];
    const first = await begin(address, busy, 9_000_000);
    expect(await first.status()).toBe('waits');
    const beside = await begin(address, busy, 9_000_000);
    expect(await beside.status()).toBe('waits');
    const second = await begin(address, busy, 9_000_000);
    expect(await second.status()).toBe('503');
    expect((await post(address, quiet)).status).toBe(200);
    expect((await post(address, busy)).status).toBe(200);
    first.socket.destroy();
    await sleep(100);
    const third = await begin(address, busy, 9_000_000);
    expect(await third.status()).toBe('waits');
  });

  it('that name more people than may be new at once are refused whole, and make nobody', async () => {
    const { address, tenants, isKnown } = await openTenants();
    const [{ path, authorization }] = tenants as [Tenant];
    const recipients = (n: number) =>
      Array.from({ length: 1_000 }, (_, i) => ({ identity: identity(`${n}-${i}`) }));
    const events = Array.from({ length: 21 }, (_, n) => {
      const event = sent(null, 'to all') as { data: object };
      return { ...event, data: { ...event.data, recipients: recipients(n) } };
    });
    const answer = await fetch(address + path, {
      method: 'POST',
      headers: { authorization, 'content-type': 'application/json' },
      body: JSON.stringify(events),
    });
    expect(answer.status).toBe(413);
    const [error] = ((await answer.json()) as { errors: { code: string; title: string }[] }).errors;
    expect(error).toMatchObject({ code: 'too_many_people' });
    expect(error!.title).toContain('20000');
    expect(await isKnown('0-0')).toBe(false);
  });
});
