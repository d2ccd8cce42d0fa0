import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { describe, expect, it, onTestFinished } from 'vitest';
import { ANSWER_HEADER } from '../../libs/access/attack-credentials.ts';
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
  { refusal = 404, isSigned = true } = {},
): Promise<string> {
  const other = await openBackends(store.configuration);
  onTestFinished(() => other.close());
  const asked = createServer(async (request, response) => {
    const path = request.url ?? '';
    const reads = path.endsWith('/canary') && refusal === 404 ? {} : undefined;
    const body = answer(path) ?? reads;
    const status = body === undefined ? refusal : 200;
    const text = JSON.stringify(body ?? {});
    const { nonce } = claimsOf(request.headers.authorization!);
    const code = await other.attacks.answerCode(nonce, status, text);
    if (isSigned) response.setHeader(ANSWER_HEADER, code);
    response.writeHead(status, { 'content-type': 'application/json' });
    response.end(text);
  });
  await new Promise<void>((resolve) => asked.listen(0, '127.0.0.1', resolve));
  onTestFinished(() => void asked.close());
  const door = `http://127.0.0.1:${(asked.address() as AddressInfo).port}`;
  await other.announce(door);
  return door;
}

/** What a credential of the attack says, which lies in it in clear. */
function claimsOf(authorization: string) {
  const text = /^Lethe-Attack ([\w-]+)\./.exec(authorization)![1]!;
  return JSON.parse(Buffer.from(text, 'base64url').toString()) as { nonce: string; path: string };
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
    expect((await powers.requests.open(10)).length).toBe(1);
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
    const door = await openDoor(store, () => undefined, { refusal: 401 });
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
    await openDoor(store, (path) =>
      path.includes('/messages') ? { messages: [{ id: 'one', content: {} }] } : undefined,
    );
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

  it('does not take an answer for one that no holder of keys has signed, and finishes', async () => {
    const store = await openServed();
    const kept = await messagesOf(store, await groupOf(store));
    const lies = (path: string) => (path.includes('/messages') ? { messages: kept } : undefined);
    const door = await openDoor(store, lies, { isSigned: false });
    const { attack } = (await eraseAnn(store)) as Done;
    expect(attack!.services).toEqual([]);
    expect(attack!.notTried).toContain(
      `${door}: its answer (200) is not signed by a holder of keys`,
    );
  });
});

describe('S51 a row of a holder that somebody without keys has written', () => {
  /** A server of somebody else, and what it is sent. */
  async function openStranger() {
    const heard: string[] = [];
    const stranger = createServer((request, response) => {
      heard.push(request.headers.authorization ?? '');
      response.end('{}');
    });
    await new Promise<void>((resolve) => stranger.listen(0, '127.0.0.1', resolve));
    onTestFinished(() => void stranger.close());
    return { heard, door: `http://127.0.0.1:${(stranger.address() as AddressInfo).port}` };
  }

  it('has nothing sent to the door that it names: the erasure finishes, and names the row', async () => {
    const store = await openServed();
    const server = await startServer(store);
    onTestFinished(() => server.stop());
    const { heard, door } = await openStranger();
    const { feed } = store.backends.engines.vault;
    const [real] = await feed.holders();
    // One that is made up, and a real one whose door is another's, or carries another's code.
    await feed.addHolder({ ...real!, id: 'f'.repeat(32) });
    const codes = [door, `${door} ${'0'.repeat(64)}`, real!.door!.replace(/^\S+/, door)];
    for (const text of codes) {
      await feed.announce('f'.repeat(32), text);
      await feed.announce(real!.id, text);
    }
    const { attack } = (await eraseAnn(store)) as Done;
    expect(heard).toEqual([]);
    const changed = `holder ${real!.id}: its row was changed from outside`;
    expect(attack!.notTried).toContain(changed);
    expect(attack!.services).toEqual([]);
  });

  it('a credential of the attack that is intercepted reads nothing else, nowhere else, once', async () => {
    const store = await openServed();
    const server = await startServer(store);
    onTestFinished(() => server.stop());
    const { attacks } = store.backends.privacy();
    const holder = store.backends.attacks.holderId()!;
    const app = store.app.id;
    const get = async (path: string, authorization: string, method = 'GET') =>
      (await fetch(server.address + path, { method, headers: { authorization } })).status;
    const path = `/v2/apps/${app}/canary`;
    const issue = async (of: object = {}, nowMs = Date.now()) =>
      (await attacks.issue({ app, holder, path, ...of }, nowMs)).authorization;
    const once = await issue();
    expect(await get(path, once)).toBe(200);
    expect(await get(path, once)).toBe(401);
    expect(await get(`/v2/apps/${app}/conversations`, await issue())).toBe(401);
    expect(await get(`${path}?x=1`, await issue())).toBe(401);
    expect(await get(path, await issue({ holder: 'another' }))).toBe(401);
    expect(await get(path, await issue({}, Date.now() - 11_000))).toBe(401);
    expect(await get(path, await issue({}, Date.now() + 60_000))).toBe(401);
    expect(await get(`/v2/apps/${app}`, await issue({ path: `/v2/apps/${app}` }), 'DELETE')).toBe(
      401,
    );
    const [head, code] = (await issue()).split('.') as [string, string];
    const claims = { ...claimsOf(`${head}.`), path: `/v2/apps/${app}/conversations` };
    const edited = Buffer.from(JSON.stringify(claims)).toString('base64url');
    expect(await get(claims.path, `Lethe-Attack ${edited}.${code}`)).toBe(401);
  });
});
