import { createPublicKey, randomBytes } from 'node:crypto';
import { readFileSync } from 'node:fs';
import {
  createServer,
  type IncomingMessage,
  request,
  type Server,
  type ServerResponse,
} from 'node:http';
import type { AddressInfo } from 'node:net';
import {
  CancelKeyDeletionCommand,
  DeleteAliasCommand,
  DescribeKeyCommand,
  DisableKeyCommand,
  KMSClient,
  ListAliasesCommand,
  UpdateKeyDescriptionCommand,
} from '@aws-sdk/client-kms';
import { describe, expect, it, onTestFinished, vi } from 'vitest';
import { openEnvelope } from '../../libs/audit/dsse.ts';
import { readConfiguration } from '../../libs/configuration/configuration.ts';
import { toUuid } from '../../libs/vault/keys/aws/key-marks-aws.ts';
import { openBackends } from '../../libs/wiring/open-backends.ts';
import { openRootKms } from '../../libs/wiring/open-root-kms.ts';
import { settleEpoch, turnEpoch } from '../../services/operations/turn-epoch.ts';
import { createPrivacy } from '../../services/privacy/doors/privacy.ts';
import { engines } from '../contract/engines.ts';
import { PERSONAL, received } from '../support/events.ts';
import { lethe, startLethe } from '../support/processes.ts';
import { defaultConversationOf, subjectOf, textsOf } from '../support/reading.ts';
import { embeddedVariables, openConfigured, temporaryFolder } from '../support/temporary-store.ts';

const kmsUrl = new URL(engines!.LETHE_KMS!.replace(':eu-west-1', '://eu-west-1'));
const endpoint = new URL(kmsUrl.searchParams.get('endpoint')!);

/** The id of the key that a call is about, as the store writes it. */
function keyOf(body: Buffer): string {
  return String(JSON.parse(body.toString()).KeyId).replaceAll('-', '');
}

function fail(answer: ServerResponse, type: string): void {
  answer.writeHead(400, { 'content-type': 'application/x-amz-json-1.1' });
  answer.end(JSON.stringify({ __type: type, message: 'said by a test' }));
}

async function bodyOf(incoming: IncomingMessage): Promise<Buffer> {
  const parts: Buffer[] = [];
  for await (const part of incoming) parts.push(part as Buffer);
  return Buffer.concat(parts);
}

/** The same request with credentials of another account: the server takes its id for a key's. */
function inAccount(authorization: string, account: string): string {
  return authorization.replace(/Credential=[^/]+/, `Credential=${account}`);
}

/**
 * Stands before the KMS: passes calls on, throttles the next ones, refuses connections, or says of
 * keys that they are gone: no server's clock can be moved by the days that AWS takes.
 */
async function openProxy() {
  let throttled = 0;
  let calls = 0;
  let account: string | undefined;
  const gone = new Set<string>();
  const listen = (server: Server, port: number) =>
    new Promise<number>((resolve) => {
      server.listen(port, '127.0.0.1', () => resolve((server.address() as AddressInfo).port));
    });
  const make = () =>
    createServer(async (incoming, answer) => {
      calls += 1;
      if (throttled > 0) {
        throttled -= 1;
        fail(answer, 'ThrottlingException');
        return;
      }
      const body = await bodyOf(incoming);
      const isLook = String(incoming.headers['x-amz-target']).endsWith('.DescribeKey');
      if (isLook && gone.has(keyOf(body))) {
        fail(answer, 'NotFoundException');
        return;
      }
      const { method, url } = incoming;
      const { authorization = '', ...others } = incoming.headers;
      const by = account === undefined ? authorization : inAccount(authorization, account);
      const headers = { ...others, authorization: by };
      const { hostname, port } = endpoint;
      const outgoing = request({ hostname, port, path: url, method, headers }, (from) => {
        answer.writeHead(from.statusCode!, from.headers);
        from.pipe(answer);
      });
      outgoing.end(body);
    });
  let server = make();
  const port = await listen(server, 0);
  const stop = () => {
    server.closeAllConnections();
    return new Promise((resolve) => server.close(resolve));
  };
  onTestFinished(async () => void (await stop()));
  return {
    variable: `aws-kms:eu-west-1?endpoint=${encodeURIComponent(`http://127.0.0.1:${port}`)}`,
    get calls() {
      return calls;
    },
    /** From now on the credentials are another account's, or the own ones again. */
    useAccount: (id?: string) => {
      account = id;
    },
    /** AWS has deleted this key. */
    sayGone: (key: string) => void gone.add(key),
    throttle: (count: number) => {
      throttled = count;
    },
    stop,
    start: () => {
      server = make();
      return listen(server, port);
    },
  };
}

const newStoreId = () => randomBytes(16).toString('hex');

/** An embedded store whose root lies in the KMS behind the proxy. */
async function openStore(variable: string) {
  const folder = temporaryFolder();
  const more = { LETHE_KMS: variable, LETHE_SIGNING_KEYS: `${folder}/keys` };
  const configuration = readConfiguration({ ...embeddedVariables(folder), ...more });
  const store = await openConfigured(configuration, folder);
  onTestFinished(() => store.backends.close());
  return { folder, store, configuration, variables: { ...embeddedVariables(folder), ...more } };
}

/** The same, of whose people one was erased before a turn: its old key waits to go. */
async function openTurned(variable: string) {
  const { store, configuration } = await openStore(variable);
  await store.deliver(received('ann', 'hello', { conversation: PERSONAL }));
  const powers = store.backends.privacy();
  const subject = await subjectOf(store, 'ann');
  await createPrivacy(powers).eraseSubject(store.app.id, subject);
  const { turn } = await turnEpoch({ backends: store.backends, configuration });
  return { store, configuration, powers, turn };
}

describe('the KMS at the root', () => {
  it('S49 knows the keys of a store, and of its copies, by themselves when their aliases are taken away', async () => {
    const { configuration } = await openStore(engines!.LETHE_KMS!);
    const [original, copy] = [newStoreId(), newStoreId()];
    const kms = await openRootKms(configuration);
    const first = await kms.createKey(original);
    const second = await kms.createKey(original, { insteadOf: first });
    const copied = await kms.createKey(copy, { copiedFrom: original });
    const client = new KMSClient({ region: 'eu-west-1', endpoint: endpoint.href });
    for (const key of [first, second, copied]) {
      const KeyId = toUuid(key);
      const { Aliases } = await client.send(new ListAliasesCommand({ KeyId }));
      expect(Aliases!.length).toBe(1);
      for (const { AliasName } of Aliases!)
        await client.send(new DeleteAliasCommand({ AliasName }));
    }
    const again = await openRootKms(configuration);
    expect((await again.keysOf(original)).toSorted()).toEqual([first, second].toSorted());
    expect(await again.keysOf(copy)).toEqual([copied]);
    expect(await again.copiesOf(original)).toEqual([copy]);
    expect(await again.storeOf(second)).toBe(original);
    const turned = await again.createKey(copy, { insteadOf: copied });
    expect((await again.keysOf(copy)).toSorted()).toEqual([copied, turned].toSorted());
  });

  it('S49 counts what alias and description say, each by itself: where they differ nothing is ended', async () => {
    const { configuration } = await openStore(engines!.LETHE_KMS!);
    const [original, copy, other] = [newStoreId(), newStoreId(), newStoreId()];
    const key = await (await openRootKms(configuration)).createKey(copy, { copiedFrom: original });
    const client = new KMSClient({ region: 'eu-west-1', endpoint: endpoint.href });
    // Each time as a process that has not looked before.
    const openDescribed = async (Description: string) => {
      await client.send(new UpdateKeyDescriptionCommand({ KeyId: toUuid(key), Description }));
      return openRootKms(configuration);
    };
    const changed = await openDescribed(`Lethe: root of the store ${other}`);
    expect(await changed.copiesOf(original)).toEqual([copy]);
    expect(await changed.keysOf(copy)).toEqual([key]);
    await expect(changed.storeOf(key)).rejects.toMatchObject({ code: 'ROOT_KMS_DENIED' });
    // Cut, it still comes from where its alias says, and so does what comes instead of it.
    const cut = await openDescribed(`Lethe: root of the store ${copy}`);
    expect(await cut.copiesOf(original)).toEqual([copy]);
    const next = await cut.createKey(copy, { insteadOf: key });
    const { Aliases } = await client.send(new ListAliasesCommand({ KeyId: toUuid(next) }));
    expect(Aliases!.map(({ AliasName }) => AliasName).join()).toContain(`${copy}_${original}`);
  });

  it('that cannot be reached at the start is waited for, and said; while running nobody needs it', async () => {
    const proxy = await openProxy();
    const { store, folder, variables } = await openStore(proxy.variable);
    await store.deliver(received('ann', 'hello', { conversation: PERSONAL }));
    const conversation = await defaultConversationOf(store, 'ann');
    await proxy.stop();
    const before = proxy.calls;
    await store.deliver(received('ann', 'again', { conversation: PERSONAL }));
    expect(await textsOf(store, conversation)).toEqual(['hello', 'again']);
    expect(proxy.calls).toBe(before);
    const server = startLethe(folder, ['serve', '--json'], variables);
    let said = '';
    server.child.stderr!.on('data', (chunk) => {
      said += String(chunk);
    });
    const waiting = /ROOT_KMS_UNREACHABLE: .*waiting for it/;
    await vi.waitFor(() => expect(said).toMatch(waiting), { timeout: 60_000 });
    await proxy.start();
    expect(await server.printed('listening')).toContain('127.0.0.1');
    server.child.kill('SIGTERM');
    expect((await server.ended).code).toBe(0);
  });

  it('that throttles is called again, with jitter, and a turn of the epoch ends', async () => {
    const proxy = await openProxy();
    const { store } = await openStore(proxy.variable);
    await store.deliver(received('ann', 'hello', { conversation: PERSONAL }));
    const subject = await subjectOf(store, 'ann');
    await createPrivacy(store.backends.privacy()).eraseSubject(store.app.id, subject);
    proxy.throttle(4);
    const turn = await store.backends.epoch().turn({ nowMs: () => Date.now() });
    expect(turn).toMatchObject({ step: 'done', failedApps: [] });
    // The old key is scheduled to go, and opens nothing from now on: T1 comes when it is gone.
    expect(turn.t1AtMs).toBeNull();
    expect((await store.backends.epoch().status()).oldKmsKeyState).toBe('pending');
  });

  it('T1 comes when AWS says that the keys of a turn and all before are gone; the certificate tells it', async () => {
    const proxy = await openProxy();
    const { store, folder, configuration } = await openStore(proxy.variable);
    const powers = store.backends.privacy();
    const certificates: string[] = [];
    const keys: string[] = [];
    for (const name of ['ann', 'ben']) {
      await store.deliver(received(name, 'hello', { conversation: PERSONAL }));
      const subject = await subjectOf(store, name);
      const erased = await createPrivacy(powers).eraseSubject(store.app.id, subject);
      if (erased.status !== 'done') throw new Error(erased.status);
      certificates.push(erased.certificate!.file);
      keys.push((await turnEpoch({ backends: store.backends, configuration })).turn.oldKmsKey);
    }
    const waiting = async () => {
      await settleEpoch(store);
      const left = (await powers.requests.afterlives()).filter((one) => one.t1AtMs === null);
      return [left.length, (await store.backends.epoch().status()).keysWaitedFor];
    };
    const publicKey = createPublicKey(readFileSync(`${folder}/certificates/public-key.pem`));
    const told = () =>
      certificates.map((file) => openEnvelope(readFileSync(file, 'utf8'), publicKey).predicate);
    expect(await waiting()).toEqual([2, 2]);
    // The younger one alone: copies from before the first turn open still with the older.
    proxy.sayGone(keys[1]!);
    expect(await waiting()).toEqual([2, 2]);
    expect(told()).toMatchObject([{ t1: { at: 'pending' } }, { t1: { at: 'pending' } }]);
    proxy.sayGone(keys[0]!);
    expect(await waiting()).toEqual([0, 0]);
    const t1 = { at: expect.stringMatching(/^20/), condition: expect.stringMatching(/AWS KMS/) };
    const certified = { keyStore: 'AWS KMS', t1 };
    expect(told()).toMatchObject([certified, certified]);
    // Told once more, nothing changes.
    expect(await waiting()).toEqual([0, 0]);
  });

  it('S49 whose credentials become another account’s tells no T1, ends nothing, and no turn begins', async () => {
    const proxy = await openProxy();
    const { store, configuration, powers, turn } = await openTurned(proxy.variable);
    const denied = { code: 'ROOT_KMS_DENIED', message: expect.stringContaining(turn.newKmsKey) };
    proxy.useAccount('999999999999');
    const kms = await openRootKms(configuration);
    // What makes it dangerous: to that account the old key is gone, and there are no copies.
    expect(await kms.describeKey(turn.oldKmsKey)).toBe('gone');
    await expect(settleEpoch(store)).rejects.toMatchObject(denied);
    await expect(turnEpoch({ backends: store.backends, configuration })).rejects.toMatchObject(
      denied,
    );
    await expect(store.backends.epoch().endCopies()).rejects.toMatchObject(denied);
    expect(await powers.requests.afterlives()).toMatchObject([{ t1AtMs: null }]);
    proxy.useAccount();
    await settleEpoch(store);
    expect(await powers.requests.afterlives()).toMatchObject([{ t1AtMs: null }]);
    expect(await kms.describeKey(turn.oldKmsKey)).toBe('pending');
    const next = await turnEpoch({ backends: store.backends, configuration });
    expect(next.turn).toMatchObject({ step: 'done', number: turn.number + 1 });
  });

  it('S49 a deletion that somebody cancelled is scheduled again, and told; no T1 meanwhile', async () => {
    const proxy = await openProxy();
    const { store, powers, turn } = await openTurned(proxy.variable);
    const client = new KMSClient({ region: 'eu-west-1', endpoint: endpoint.href });
    const KeyId = toUuid(turn.oldKmsKey);
    await client.send(new CancelKeyDeletionCommand({ KeyId }));
    const back: string[] = [];
    await settleEpoch(store, (key) => back.push(key));
    expect(back).toEqual([turn.oldKmsKey]);
    const described = await client.send(new DescribeKeyCommand({ KeyId }));
    expect(described.KeyMetadata!.KeyState).toBe('PendingDeletion');
    expect(await powers.requests.afterlives()).toMatchObject([{ t1AtMs: null }]);
  });

  it('whose key was disabled by hand lets nothing open, and says so', async () => {
    const proxy = await openProxy();
    const { store, folder, variables, configuration } = await openStore(proxy.variable);
    const { kmsKey } = await store.backends.epoch().status();
    const client = new KMSClient({ region: 'eu-west-1', endpoint: endpoint.href });
    const KeyId = toUuid(kmsKey);
    await client.send(new DisableKeyCommand({ KeyId }));
    await expect(openBackends(configuration)).rejects.toMatchObject({ code: 'ROOT_KMS_DENIED' });
    const ended = await lethe(folder, ['apps', 'list'], variables);
    expect(ended.code).toBe(1);
    expect(ended.err).toMatch(/ROOT_KMS_DENIED.*DisabledException/);
  });
});
