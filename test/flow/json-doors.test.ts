import { describe, expect, it } from 'vitest';
import { received } from '../support/events.ts';
import { openTestServer } from '../support/test-server.ts';

type Server = Awaited<ReturnType<typeof openTestServer>>;

async function post({ url, app, key }: Server, path: string, body: string | Buffer, more = {}) {
  const headers = { authorization: `Basic ${btoa(key)}`, 'content-type': 'application/json' };
  const answer = await fetch(`${url}/v2/apps/${app}/${path}`, {
    method: 'POST',
    headers: { ...headers, ...more },
    body: body as never,
  });
  return { status: answer.status, text: await answer.text() };
}

describe('the JSON that doors are given', () => {
  it('is kept as it was sent or refused: no number becomes an id, and no id another', async () => {
    const server = await openTestServer();
    for (const id of ['1497549923779084388', 'true', '1e21', 'null', '["ann"]', '{}']) {
      const { status, text } = await post(server, 'users', `{"externalId":${id}}`);
      expect(status, id).toBe(400);
      expect(text).toContain('bad_request');
      expect(text).not.toContain('1497549923779084388');
    }
    expect((await post(server, 'users', '{"externalId":"1497549923779084388"}')).status).toBe(201);
  });

  it('refuses numbers in content and metadata that it would change, on every door', async () => {
    const server = await openTestServer();
    const event = received('ann', 'words', { id: 'a' }) as { data: object };
    const exact = JSON.stringify({ ...event, data: { ...event.data, metadata: { n: 1 } } });
    for (const number of ['17841405822304915', '1e400']) {
      const odd = exact.replace('{"n":1}', `{"n":${number}}`);
      expect(odd).not.toBe(exact);
      const { status, text } = await post(server, 'events', odd);
      expect([status, text.includes('at character')]).toEqual([400, true]);
    }
    expect(JSON.parse((await post(server, 'events', exact)).text)).toMatchObject({ accepted: 1 });
  });

  it('is UTF-8: another encoding is refused with its place, and makes no two people one', async () => {
    const server = await openTestServer();
    for (const letter of ['\xe9', '\xe8']) {
      const body = Buffer.from(`{"externalId":"jos${letter}@"}`, 'latin1');
      const { status, text } = await post(server, 'users', body);
      expect([status, text.includes('the byte at 18')]).toEqual([400, true]);
    }
    const marked = '\ufeff{"externalId":"josé@"}';
    expect((await post(server, 'users', marked)).status).toBe(201);
    const latin = { 'content-type': 'application/json; charset=iso-8859-1' };
    expect((await post(server, 'users', '{"externalId":"a"}', latin)).status).toBe(415);
    const zipped = { 'content-encoding': 'gzip' };
    expect((await post(server, 'users', '{"externalId":"a"}', zipped)).status).toBe(415);
  });
});
