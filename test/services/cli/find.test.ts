import { expect, it } from 'vitest';
import { identity, PERSONAL, received } from '../../support/events.ts';
import { lethe } from '../../support/processes.ts';
import { openTestStore } from '../../support/temporary-store.ts';

const from = (channel: string, externalId: string, displayName: string) => {
  const event = received('x', 'words', { conversation: PERSONAL, displayName }) as {
    data: { author: object };
  };
  const author = { ...event.data.author, identity: { ...identity(''), channel, externalId } };
  return { ...event, data: { ...event.data, author } };
};

it('who is asked for by another spelling is named among those who are near, on any channel', async () => {
  const store = await openTestStore();
  await store.deliver(
    from('whatsapp', '491512345678', 'Ann'),
    from('email', 'Ann@Example.org', 'Ann Lee'),
    ...Array.from({ length: 210 }, (_, n) => from('sms', `4917000000${n}`, 'Other')),
  );
  const find = (channel: string, text: string) =>
    lethe(store.folder, ['find', channel, text, '--app', 'demo']);
  const exact = await find('whatsapp', '491512345678');
  expect(exact.code).toBe(0);
  const { subjectId } = exact.json;
  for (const [channel, text] of [
    ['whatsapp', '+49 151 2345678'],
    ['sms', '00491512345678'],
    ['whatsapp', '0151 2345678'],
  ] as const) {
    const near = await find(channel, text);
    expect(near.code).toBe(5);
    const one = { channel: 'whatsapp', externalId: '491512345678', displayName: 'Ann' };
    expect(near.json).toEqual({ candidates: [{ subjectId, ...one }] });
    expect(near.err).toContain('near');
    expect(near.err).not.toContain('151');
  }
  const mail = await find('email', 'ann@example.org');
  expect(mail.json.candidates).toMatchObject([{ externalId: 'Ann@Example.org' }]);
  const nobody = await find('email', 'ben@example.org');
  expect([nobody.code, nobody.json]).toEqual([5, undefined]);
  expect(nobody.err).toContain('nor by one that is near');
}, 60_000);
