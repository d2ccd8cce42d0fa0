import { createPublicKey } from 'node:crypto';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { get, type IncomingMessage } from 'node:http';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { setTimeout as sleep } from 'node:timers/promises';
import { SignJWT } from 'jose';
import { describe, expect, it, onTestFinished } from 'vitest';
import { openEnvelope } from '../../libs/audit/dsse.ts';
import { openBackends } from '../../libs/wiring/open-backends.ts';
import { commitmentOf } from '../../services/privacy/life/certificate.ts';
import { type Answer, type Door, openDoor, seeing } from '../support/door.ts';
import { edited, GROUP, received } from '../support/events.ts';

const said = (text: string) => ({
  author: { type: 'business', displayName: 'Desk' },
  content: { type: 'text', text },
});

async function newConversation(door: Door): Promise<string> {
  await door.call('POST', '/users', { externalId: 'ann', profile: { givenName: 'Ann' } });
  const participants = [{ userExternalId: 'ann' }];
  const made = await door.call('POST', '/conversations', { type: 'personal', participants });
  expect(made.status).toBe(201);
  return made.body.conversation.id;
}

describe('the REST interface', () => {
  it('S54 nobody’s external id can be taken for another’s user id', async () => {
    const door = await openDoor();
    const ann = await door.call('POST', '/users', { externalId: 'ann' });
    const { id } = ann.body.user;
    const taken = await door.call('POST', '/users', { externalId: id });
    expect(taken.status).toBe(400);
    expect(taken.body.errors[0].title).toContain('32 hexadecimal digits');
    expect(
      (await door.call('GET', `/users/${id}`, undefined, seeing(ann))).body.user.externalId,
    ).toBe('ann');
  });

  it('an erase answers with what proves the certificate to be about this person', async () => {
    const door = await openDoor();
    const made = await door.call('POST', '/users', { externalId: 'ann' });
    const erased = await door.call('DELETE', '/users/ann');
    const { id, salt } = erased.body.certificate;
    expect(erased.headers.get('lethe-certificate')).toBe(id);
    expect(erased.headers.get('lethe-certificate-salt')).toBe(salt);
    const folder = join(door.store.folder, 'certificates');
    const key = createPublicKey(readFileSync(join(folder, 'public-key.pem')));
    const statement = openEnvelope(readFileSync(join(folder, `${id}.json`), 'utf8'), key);
    const commitment = commitmentOf(salt, made.body.user.id);
    expect(statement.subject[0]!.digest.sha256).toBe(commitment);
    const message = await door.call('DELETE', '/users/ann');
    expect(message.body.certificate).toBeUndefined();
  });

  it('a user is created once, read, changed field by field, and erased (promise: access-profile)', async () => {
    const door = await openDoor();
    const profile = { givenName: 'Ann', email: 'ann@example.org' };
    const made = await door.call('POST', '/users', { externalId: 'ann', profile });
    expect(made.status).toBe(201);
    expect((await door.call('POST', '/users', { externalId: 'ann' })).status).toBe(409);
    const read = await door.call('GET', '/users/ann', undefined, seeing(made));
    expect(read.body.user).toMatchObject({ externalId: 'ann', profile });
    const changed = await door.call('PATCH', '/users/ann', { profile: { surname: 'Lee' } });
    const again = await door.call('GET', `/users/${made.body.user.id}`, undefined, seeing(changed));
    expect(again.body.user.profile).toEqual({ ...profile, surname: 'Lee' });
    const cleared = await door.call('DELETE', '/users/ann/personalinformation');
    expect(cleared.status).toBe(200);
    expect((await door.call('GET', '/users/ann')).body.user.profile).toEqual({});
    expect((await door.call('DELETE', '/users/ann')).status).toBe(200);
    const gone = await door.call('GET', `/users/${made.body.user.id}`);
    expect([gone.status, gone.body.errors[0].code]).toEqual([404, 'user_erased']);
    expect((await door.call('GET', '/users/ann')).body.errors[0].code).toBe('user_not_found');
  });

  it('messages are posted, paged and deleted (promise: access-messages, promise: erase-message)', async () => {
    const door = await openDoor();
    const id = await newConversation(door);
    let last: Answer | undefined;
    for (let i = 0; i < 205; i += 1) {
      last = await door.call('POST', `/conversations/${id}/messages`, said(`text ${i}`));
      expect(last.status).toBe(201);
    }
    const path = `/conversations/${id}/messages`;
    const newest = await door.call('GET', path, undefined, seeing(last!));
    expect(newest.body.messages.length).toBe(100);
    expect(newest.body.messages.at(-1).content.text).toBe('text 204');
    expect(newest.body.meta.hasMore).toBe(true);
    const { beforeCursor } = newest.body.meta;
    const middle = await door.call('GET', `${path}?page[before]=${beforeCursor}`);
    expect(middle.body.messages.at(-1).content.text).toBe('text 104');
    const first = await door.call('GET', `${path}?page[before]=${middle.body.meta.beforeCursor}`);
    expect(first.body.messages.map((m: { content: { text: string } }) => m.content.text)).toEqual([
      'text 0',
      'text 1',
      'text 2',
      'text 3',
      'text 4',
    ]);
    expect(first.body.meta.hasMore).toBe(false);
    const forward = await door.call('GET', `${path}?page[after]=${first.body.messages.at(-1).id}`);
    expect(forward.body.messages[0].content.text).toBe('text 5');
    const victim = first.body.messages[2];
    expect((await door.call('DELETE', `${path}/${victim.id}`)).status).toBe(200);
    const one = await door.call('GET', `${path}/${victim.id}`);
    expect(one.body.message).toEqual({ id: victim.id, received: victim.received, deleted: true });
    expect((await door.call('DELETE', path)).status).toBe(200);
    const all = await door.call('GET', path);
    expect(all.body.messages.every((m: { deleted?: boolean }) => m.deleted === true)).toBe(true);
    const fresh = await door.call('POST', path, said('again'));
    const now = await door.call('GET', path, undefined, seeing(fresh));
    expect(now.body.messages.at(-1).content.text).toBe('again');
  });

  it('a conversation’s title is changed field by field, and who has read it is known', async () => {
    const door = await openDoor();
    const id = await newConversation(door);
    const path = `/conversations/${id}`;
    await door.call('PATCH', path, { displayName: 'Order', metadata: { tier: 'gold' } });
    const changed = await door.call('PATCH', path, { displayName: 'Order 7' });
    expect(changed.body.conversation).toMatchObject({ displayName: 'Order 7' });
    const read = await door.call('GET', path, undefined, seeing(changed));
    const fields = { displayName: 'Order 7', metadata: { tier: 'gold' } };
    expect(read.body.conversation).toMatchObject(fields);
    const posted = await door.call('POST', `${path}/messages`, said('hello'));
    await door.call('GET', path, undefined, seeing(posted));
    const author = { type: 'user', userExternalId: 'ann' };
    const activity = { author, type: 'conversation:read' };
    const seen = await door.call('POST', `${path}/activity`, activity);
    await door.call('POST', `${path}/activity`, activity);
    expect(seen.status).toBe(200);
    const typing = { author: { type: 'business' }, type: 'typing:start' };
    expect((await door.call('POST', `${path}/activity`, typing)).status).toBe(200);
    const messages = await door.call('GET', `${path}/messages`, undefined, seeing(seen));
    expect(messages.body.messages[0].receipts).toMatchObject([{ status: 'read' }]);
    const stranger = { author: { ...author, userExternalId: 'ben' }, type: 'conversation:read' };
    await door.call('POST', '/users', { externalId: 'ben' });
    expect((await door.call('POST', `${path}/activity`, stranger)).status).toBe(400);
  });

  it('events are taken in one by one and in batches, each answered by itself', async () => {
    const door = await openDoor();
    const one = received('ann', 'hello', { id: 'e1' });
    const single = await door.call('POST', '/events', one, {
      'content-type': 'application/cloudevents+json',
    });
    expect(single.body).toMatchObject({ accepted: 1, results: [{ index: 0, status: 'accepted' }] });
    const bad = { ...received('ben', 'x'), time: 'yesterday' };
    const batch = await door.call('POST', '/events', [one, bad, received('ben', 'hi')], {
      'content-type': 'application/cloudevents-batch+json',
    });
    expect(batch.body).toMatchObject({ accepted: 1, duplicate: 1, erased: 0, rejected: 1 });
    expect(batch.body.results[1].error).toMatchObject({ pointer: '/time' });
    expect(JSON.stringify(batch.body)).not.toContain('yesterday');
  });

  it('a single event that is refused is a request that is refused, with its reason', async () => {
    const door = await openDoor();
    const post = (event: object) => door.call('POST', '/events', event);
    const wrong = await post({ ...received('ben', 'x'), time: 'yesterday' });
    expect([wrong.status, wrong.body.errors[0].code]).toEqual([400, 'invalid_event']);
    expect(wrong.body.errors[0].source).toEqual({ pointer: '/time' });
    await post(received('ann', 'hers', { id: 'a' }));
    const taken = await post(received('ben', 'his', { id: 'a' }));
    expect([taken.status, taken.body.errors[0].code]).toEqual([409, 'id_taken']);
    const early = await post(edited('ann', 'later', 'words'));
    expect([early.status, early.headers.get('retry-after')]).toEqual([503, '1']);
    const others = await post(edited('ben', 'a', 'his'));
    expect([others.status, others.body.errors[0].code]).toEqual([400, 'not_the_author']);
  });

  it('CloudEvents in binary mode, and with data in base64, are taken in', async () => {
    const door = await openDoor();
    const { data, ...attributes } = received('ann', 'in binary', { id: 'b 1' }) as {
      data: object;
      id: string;
    };
    const headers = Object.entries(attributes).map(([name, value]) => {
      return [`ce-${name}`, encodeURIComponent(String(value))];
    });
    const binary = await door.call('POST', '/events', data, Object.fromEntries(headers));
    expect(binary.body).toMatchObject({ accepted: 1 });
    const again = await door.call('POST', '/events', { ...attributes, data });
    expect(again.body).toMatchObject({ duplicate: 1 });
    const data_base64 = Buffer.from(JSON.stringify(data)).toString('base64');
    const encoded = await door.call('POST', '/events', { ...attributes, id: 'b 2', data_base64 });
    expect(encoded.body).toMatchObject({ accepted: 1 });
    const odd = await door.call('POST', '/events', { ...attributes, data_base64: 'bm90IEpTT04=' });
    expect([odd.status, odd.body.errors[0].source]).toEqual([400, { pointer: '/data_base64' }]);
  });

  it('S40 nothing of another app can be reached, nor be told from what does not exist', async () => {
    const door = await openDoor();
    const id = await newConversation(door);
    const { createApp } = await import('../../services/operations/create-app.ts');
    const administration = door.store.backends.administration();
    const other = await createApp(administration, { name: 'other', buckets: 4 });
    const origin = new URL(door.base).origin;
    const theirs = `${origin}/v2/apps/${other.id}`;
    const none = `${origin}/v2/apps/${'0'.repeat(32)}`;
    const [a, b] = [await door.call('GET', theirs), await door.call('GET', none)];
    expect([a.status, a.body]).toEqual([404, b.body]);
    const key = await administration.accessKeys.create({
      app: other.id,
      scope: 'integration',
      nowMs: 1,
    });
    const headers = {
      authorization: `Basic ${Buffer.from(`${key.id}:${key.secret}`).toString('base64')}`,
    };
    for (const path of [`/conversations/${id}`, `/conversations/${id}/messages`, '/users/ann']) {
      expect((await door.call('GET', theirs + path, undefined, headers)).status).toBe(404);
    }
    const post = await door.call(
      'POST',
      `${theirs}/conversations/${id}/messages`,
      said('x'),
      headers,
    );
    expect(post.status).toBe(404);
    const erase = await door.call('DELETE', `${theirs}/conversations/${id}`, undefined, headers);
    expect(erase.status).toBe(404);
    expect((await door.call('GET', `/conversations/${id}`)).status).toBe(200);
    const forbidden = await door.call('DELETE', theirs, undefined, headers);
    expect([forbidden.status, forbidden.body.errors[0].code]).toEqual([403, 'forbidden']);
  });

  it('a revoked key’s stream ends by itself, however slowly its client reads', async () => {
    const door = await openDoor();
    const long = 'x'.repeat(90_000);
    const many = Array.from({ length: 200 }, (_, i) => received('ann', `${long} ${i}`));
    await door.store.deliver(...many);
    const { id, secret } = door.key;
    const authorization = `Basic ${btoa(`${id}:${secret}`)}`;
    const client = get(`${door.base}/stream?from=start`, { headers: { authorization } });
    client.on('error', () => undefined);
    const [answer] = (await once(client, 'response')) as [IncomingMessage];
    answer.on('error', () => undefined);
    await door.store.backends.administration().accessKeys.revoke({ id, app: door.store.app.id }, 2);
    // It takes half a second, and longer where a machine is busy.
    await sleep(2_000);
    let bytes = 0;
    answer.on('data', (chunk) => (bytes += chunk.length));
    await new Promise((resolve) => answer.once('close', resolve));
    // What the sockets of both sides held by then, and nothing more of the 18 MB.
    expect(bytes).toBeLessThan(12_000_000);
  });

  it('S51 a key that was revoked stays so, though somebody writes its old row back', async () => {
    const door = await openDoor();
    const file = join(door.store.folder, 'data/lethe.db');
    const edit = (sql: string) => {
      const database = new DatabaseSync(file);
      database.exec(sql);
      database.close();
    };
    expect((await door.call('GET', '/conversations')).status).toBe(200);
    edit('CREATE TABLE stolen AS SELECT * FROM access_keys');
    const { accessKeys } = door.store.backends.administration();
    expect(await accessKeys.revoke({ id: door.key.id, app: door.store.app.id }, 2)).toBe(true);
    expect(await accessKeys.revoke({ id: door.key.id, app: door.store.app.id }, 3)).toBe(false);
    edit('UPDATE access_keys SET revoked_at = NULL');
    expect((await door.call('GET', '/conversations')).status).toBe(401);
    edit('DELETE FROM access_keys; INSERT INTO access_keys SELECT * FROM stolen');
    expect((await door.call('GET', '/conversations')).status).toBe(401);
    const again = await openBackends(door.store.configuration);
    onTestFinished(() => again.close());
    const authorization = `Basic ${btoa(`${door.key.id}:${door.key.secret}`)}`;
    expect(await again.administration().accessKeys.recognise(authorization)).toBeUndefined();
  });

  it('a row of an access key that was given another scope opens nothing any more', async () => {
    const door = await openDoor();
    const origin = new URL(door.base).origin;
    expect((await door.call('GET', `${origin}/v2/apps`)).status).toBe(403);
    const database = new DatabaseSync(join(door.store.folder, 'data/lethe.db'));
    database.prepare(`UPDATE access_keys SET scope = 'account'`).run();
    database.close();
    expect((await door.call('GET', `${origin}/v2/apps`)).status).toBe(500);
  });

  it('a token is taken with its key’s scope and refused with another, expired, endless or unsigned', async () => {
    const door = await openDoor();
    const token = (claims: object, secret = door.key.secret, alg = 'HS256') =>
      new SignJWT({ ...claims })
        .setProtectedHeader({ alg, kid: door.key.id })
        .sign(Buffer.from(secret));
    const read = async (value: string) => {
      const headers = { authorization: `Bearer ${value}` };
      return (await door.call('GET', '/conversations', undefined, headers)).status;
    };
    const exp = Math.floor(Date.now() / 1_000) + 3_600;
    expect(await read(await token({ scope: 'app', exp }))).toBe(200);
    expect(await read(await token({ scope: 'app' }))).toBe(401);
    expect(await read(await token({ scope: 'account', exp }))).toBe(401);
    expect(await read(await token({ scope: 'app', exp }, 'x'.repeat(43)))).toBe(401);
    expect(await read(await token({ scope: 'app', exp }, door.key.secret, 'HS512'))).toBe(401);
    expect(await read(await token({ scope: 'app', exp: 1 }))).toBe(401);
    const store = door.store.backends.administration().accessKeyStore;
    const good = await token({ scope: 'app' });
    await store.revoke(door.key.id, 2);
    expect(await read(good)).toBe(401);
  });

  it('bad requests are told what, where and nothing of what was sent', async () => {
    const door = await openDoor();
    const id = await newConversation(door);
    const statusOf = async (...call: Parameters<Door['call']>) => (await door.call(...call)).status;
    expect(await statusOf('POST', '/events', '{"a":')).toBe(400);
    expect(await statusOf('POST', '/events', 'text', { 'content-type': 'text/plain' })).toBe(415);
    expect(await statusOf('POST', '/events', `"${'x'.repeat(11_000_000)}"`)).toBe(413);
    expect(await statusOf('GET', '/nowhere')).toBe(404);
    expect(await statusOf('GET', `/conversations/${'f'.repeat(32)}`)).toBe(404);
    const none = { authorization: 'Basic AAAA' };
    expect(await statusOf('GET', '/conversations', undefined, none)).toBe(401);
    const wrong = await door.call('POST', `/conversations/${id}/messages`, {
      author: { type: 'robot' },
      content: { type: 'text', text: 'planted sentence' },
    });
    expect(wrong.status).toBe(400);
    expect(wrong.body.errors[0].source.pointer).toBe('/author/type');
    expect(JSON.stringify(wrong.body)).not.toContain('robot');
    const missing = await door.call('POST', `/conversations/${id}/messages`, { author: {} });
    expect(missing.body.errors[0].source.pointer).toMatch(/^\/(author\/type|content)$/);
    const surrogate = await door.call(
      'POST',
      `/conversations/${id}/messages`,
      '{"author":{"type":"business"},"content":{"type":"text","text":"\\ud800"}}',
    );
    expect([surrogate.status, surrogate.body.errors[0].source.pointer]).toEqual([
      400,
      '/content/text',
    ]);
  });

  it('the stream tells what happens, resumes where it stopped, and tells removals', async () => {
    const door = await openDoor();
    await door.call('POST', '/events', received('ann', 'one', { conversation: GROUP }));
    const first = await door.stream('?from=start');
    expect(await first.until('"text":"one"')).toContain('event: conversation:message');
    first.end();
    await door.call('POST', '/events', received('ann', 'two', { conversation: GROUP }));
    const second = await door.stream('', { 'last-event-id': first.lastId });
    const more = await second.until('"text":"two"');
    expect(more).not.toContain('"text":"one"');
    const userId = /"userId":"([0-9a-f]{32})"/.exec(more)![1]!;
    expect((await door.call('DELETE', `/users/${userId}`)).status).toBe(200);
    expect(await second.until('user:remove')).toContain(userId);
    // A new consumer from the start sees the removal and none of the words.
    const third = await door.stream('?from=start');
    expect(await third.until('user:remove')).not.toContain('"text"');
  });

  it('health, metrics and OpenAPI answer, and hold no names', async () => {
    const door = await openDoor();
    await door.call('POST', '/users', { externalId: 'planted-external-id' });
    const origin = new URL(door.base).origin;
    expect((await door.call('GET', `${origin}/healthz`)).body).toEqual({ status: 'ok' });
    expect((await door.call('GET', `${origin}/readyz`)).body).toEqual({ status: 'ready' });
    const metrics = await door.call('GET', `${origin}/metrics`);
    expect(metrics.body).toContain('lethe_http_answers_total');
    expect(metrics.body).not.toContain('planted-external-id');
    const openapi = await door.call('GET', `${origin}/openapi.json`);
    expect(openapi.body.openapi).toBe('3.1.0');
    expect(Object.keys(openapi.body.paths).length).toBeGreaterThan(12);
    for (const path of Object.values<object>(openapi.body.paths)) {
      for (const operation of Object.values<{ responses: object }>(path as never)) {
        expect(Object.keys(operation.responses)).toEqual(expect.arrayContaining(['4XX', '5XX']));
      }
    }
  });
});
