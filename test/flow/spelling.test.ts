import { describe, expect, it, onTestFinished } from 'vitest';
import type { AppId } from '../../libs/base/ids.ts';
import { startServer } from '../../services/server/serve.ts';
import { PERSONAL, received } from '../support/events.ts';
import { lethe, startLethe } from '../support/processes.ts';
import { openAt, openTestStore, temporaryFolder } from '../support/temporary-store.ts';

const by = (externalId: string, id: string) => {
  const event = received('x', `from ${id}`, { id, conversation: PERSONAL });
  const identity = { channel: 'whatsapp', externalId };
  const { data } = event as { data: object };
  return { ...event, data: { ...data, author: { type: 'user', identity } } };
};

describe('an app that was made with rules of spelling', () => {
  it('knows one person by every spelling, in one batch, later, and by lethe find', async () => {
    const folder = temporaryFolder();
    const asked = ['apps', 'create', 'demo', '--buckets', '16', '--spell', 'whatsapp=phone'];
    const made = await lethe(folder, asked);
    expect(made.json.app.spellingRules).toEqual({ whatsapp: 'phone' });
    const app = made.json.app.id as AppId;
    const store = await openAt(folder, {}, app);
    await store.deliver(by('+49 151 23456789', 'a'), by('4915123456789', 'b'));
    await store.deliver(by('0049 151 2345 6789', 'c'));
    // The same delivery in another spelling is the same delivery.
    const [again] = await store.deliver(by('+4915123456789', 'a'));
    expect(again!.status).toBe('duplicate');
    const people = await store.backends.reader().views.people(app, { limit: 10 });
    expect(people.length).toBe(1);
    await store.ingest.close();
    await store.backends.close();
    const ids = new Set<string>();
    for (const spelling of ['+4915123456789', '0049 151 23456789', '49 151-2345-6789']) {
      const found = await lethe(folder, ['find', 'whatsapp', spelling, '--app', 'demo']);
      expect(found.code, spelling).toBe(0);
      ids.add(found.json.subjectId);
    }
    expect(ids.size).toBe(1);
    const { out } = await startLethe(folder, ['apps', 'list']).ended;
    expect(out).toContain('whatsapp=phone');
  });

  it('is not made with a rule that nobody knows', async () => {
    const folder = temporaryFolder();
    const made = await lethe(folder, ['apps', 'create', 'demo', '--spell', 'whatsapp=e164']);
    expect(made.code).toBe(2);
    expect(made.err).toContain('a rule is text, email, phone, or phone:DE');
  });

  it('is made over REST with rules alone: nothing else that is sent beside them sets anything', async () => {
    const store = await openTestStore();
    const { accessKeys, apps, clock } = store.backends.administration();
    const key = await accessKeys.create({ app: null, scope: 'account', nowMs: clock.nowMs() });
    const server = await startServer(store);
    onTestFinished(() => server.stop());
    const settings = { spellingRules: { whatsapp: 'phone' }, buckets: 1, createdAt: 0, id: 'x' };
    const answer = await fetch(`${server.address}/v2/apps`, {
      method: 'POST',
      headers: {
        authorization: `Basic ${btoa(`${key.id}:${key.secret}`)}`,
        'content-type': 'application/json',
      },
      body: JSON.stringify({ displayName: 'made', settings, buckets: 1, id: 'x' }),
    });
    expect(answer.status).toBe(201);
    const { app } = (await answer.json()) as { app: { id: string; settings: object } };
    expect(app.settings).toEqual({ spellingRules: { whatsapp: 'phone' } });
    const made = await apps.find(app.id);
    expect(made!.buckets).toBeGreaterThan(1);
    expect(made!.createdAt).toBeGreaterThan(0);
    expect(made!.name).toBe('made');
  });
});
