import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { describe, expect, it, onTestFinished } from 'vitest';
import type { MessageId } from '../../libs/base/ids.ts';
import { openBackends } from '../../libs/wiring/open-backends.ts';
import { createPrivacy, type PrivacyOutcome } from '../../services/privacy/doors/privacy.ts';
import { attackRunning } from '../../services/privacy/life/attack-running.ts';
import { runOpenRequests } from '../../services/privacy/life/request-worker.ts';
import { startServer } from '../../services/server/serve.ts';
import { PERSONAL, received } from '../support/events.ts';
import { groupOf, messagesOf, subjectOf } from '../support/reading.ts';
import { openTestStore, type TestStore } from '../support/temporary-store.ts';

type Done = Extract<PrivacyOutcome, { status: 'done' }>;

async function openServed(): Promise<TestStore> {
  const store = await openTestStore();
  const { accessKeys } = store.backends.administration();
  await accessKeys.create({ app: store.app.id, scope: 'app', nowMs: 1 });
  await store.deliver(
    received('ann', 'hers', { id: '1' }),
    received('ben', 'his', { id: '2' }),
    received('ann', 'secret', { id: '3', conversation: PERSONAL }),
  );
  return store;
}

/** A holder of keys in another process's place, whose door answers as given. */
async function openDoor(
  store: TestStore,
  answer: (path: string) => unknown,
  refusal = 404,
): Promise<string> {
  const asked = createServer((request, response) => {
    const path = request.url ?? '';
    const reads = path.includes('/conversations?') && refusal === 404 ? {} : undefined;
    const body = answer(path) ?? reads;
    response.writeHead(body === undefined ? refusal : 200, { 'content-type': 'application/json' });
    response.end(JSON.stringify(body ?? {}));
  });
  await new Promise<void>((resolve) => asked.listen(0, '127.0.0.1', resolve));
  onTestFinished(() => void asked.close());
  const other = await openBackends(store.configuration);
  onTestFinished(() => other.close());
  const door = `http://127.0.0.1:${(asked.address() as AddressInfo).port}`;
  await other.announce(door);
  return door;
}

async function eraseAnn(store: TestStore): Promise<PrivacyOutcome> {
  const privacy = createPrivacy(store.backends.privacy());
  return privacy.eraseSubject(store.app.id, await subjectOf(store, 'ann'));
}

describe('the attack by the doors', () => {
  it('asks every running service for the person and for their pages, and gets nothing', async () => {
    const store = await openServed();
    const server = await startServer(store);
    onTestFinished(() => server.stop());
    const { attack } = (await eraseAnn(store)) as Done;
    // Whether it reads, the person, the group, their personal conversation.
    expect(attack!.services).toEqual([{ door: server.address, requests: 4, opened: 0 }]);
    const left = await messagesOf(store, await groupOf(store));
    expect(left.map((one) => one.deleted === true)).toEqual([true, false]);
  });

  it('does not certify while one service hands out a page that it kept', async () => {
    const store = await openServed();
    const kept = await messagesOf(store, await groupOf(store));
    let isLeaking = true;
    const door = await openDoor(store, (path) =>
      isLeaking && path.includes('/messages') ? { messages: kept } : undefined,
    );
    await expect(eraseAnn(store)).rejects.toMatchObject({
      code: 'ERASURE_UNVERIFIED',
      message: expect.stringContaining(door),
    });
    const powers = store.backends.privacy();
    expect((await powers.requests.open(10, Date.now())).length).toBe(1);
    // Trying again asks the same questions: what leaks is not certified the second time either.
    await expect(runOpenRequests(powers)).rejects.toMatchObject({ code: 'ERASURE_UNVERIFIED' });
    isLeaking = false;
    expect(await runOpenRequests(powers)).toBe(1);
  });

  it('does not certify while one service still knows the person', async () => {
    const store = await openServed();
    await openDoor(store, (path) => (path.includes('/users/') ? { user: {} } : undefined));
    await expect(eraseAnn(store)).rejects.toMatchObject({ code: 'ERASURE_UNVERIFIED' });
  });

  it('says which service it could not ask', async () => {
    const store = await openServed();
    const gone = await openBackends(store.configuration);
    onTestFinished(() => gone.close());
    await gone.announce('http://127.0.0.1:1');
    const { attack } = (await eraseAnn(store)) as Done;
    expect(attack!.services).toEqual([]);
    expect(attack!.notTried).toContain('http://127.0.0.1:1: it did not answer');
  });

  it('does not take a refusal of everything for an erasure', async () => {
    const store = await openServed();
    const door = await openDoor(store, () => undefined, 401);
    const { attack } = (await eraseAnn(store)) as Done;
    expect(attack!.services).toEqual([]);
    expect(attack!.notTried).toContain(`${door}: it answered 401, which tells nothing`);
  });

  it('of an erased app asks for its conversations, and its certificate says what came of it', async () => {
    const store = await openServed();
    const server = await startServer(store);
    onTestFinished(() => server.stop());
    const privacy = createPrivacy(store.backends.privacy());
    const { attack, certificate } = (await privacy.eraseApp(store.app.id)) as Done;
    expect(attack).toMatchObject({ events: { opened: 0 }, rings: { tried: 1 } });
    expect(attack!.events.tried).toBeGreaterThan(2);
    // Its conversations, and the pages of both.
    expect(attack!.services).toEqual([{ door: server.address, requests: 3, opened: 0 }]);
    expect(certificate!.file).toContain('certificates');
  });

  it('does not certify the erasure of an app while one service still tells a message of it', async () => {
    const store = await openServed();
    await openDoor(store, (path) => {
      if (path.includes('/conversations?')) return { conversations: [{ id: 'kept' }] };
      return path.includes('kept') ? { messages: [{ id: 'one', content: {} }] } : undefined;
    });
    const privacy = createPrivacy(store.backends.privacy());
    await expect(privacy.eraseApp(store.app.id)).rejects.toMatchObject({
      code: 'ERASURE_UNVERIFIED',
    });
  });

  it('can be made at any time: what is lost is asked for, and a page that was kept is found', async () => {
    const store = await openServed();
    const group = await groupOf(store);
    const kept = await messagesOf(store, group);
    const powers = store.backends.privacy();
    const { id } = store.app;
    await createPrivacy(powers).forgetMessage(id, group, kept[0]!.id as MessageId);
    const server = await startServer(store);
    onTestFinished(() => server.stop());
    const sound = await attackRunning(powers, id);
    expect(sound).toMatchObject({ lost: 1, services: [{ opened: 0 }] });
    const door = await openDoor(store, (path) => {
      return path.includes('/messages') ? { messages: kept } : undefined;
    });
    const { services } = await attackRunning(powers, id);
    expect(services.find((one) => one.door === door)!.opened).toBe(1);
  });
});
