import { setTimeout as sleep } from 'node:timers/promises';
import { expect, it } from 'vitest';
import { createPrivacy } from '../../../services/privacy/doors/privacy.ts';
import { GROUP, received } from '../../support/events.ts';
import { lethe, startLethe } from '../../support/processes.ts';
import { groupOf, subjectOf } from '../../support/reading.ts';
import { openTestStore } from '../../support/temporary-store.ts';

const MESSAGES = 60;
const MESSAGE_BYTES = 60_000;
/** What a socket between two processes holds by itself: nobody can take that back. */
const KERNEL_BYTES_MAX = 512 * 1_024;

async function openGroup(bytes: number) {
  const store = await openTestStore();
  const words = (name: string) => `words-of-${name} `.repeat(Math.ceil(bytes / 13));
  for (let i = 0; i < MESSAGES; i += 1) {
    await store.accept(
      received('ann', words('ann'), { conversation: GROUP }),
      received('ben', words('ben'), { conversation: GROUP }),
    );
  }
  await store.project();
  const show = ['show', 'conversation', await groupOf(store), '--app', 'demo'];
  const eraseAnn = async () => {
    const subject = await subjectOf(store, 'ann');
    return createPrivacy(store.backends.privacy()).eraseSubject(store.app.id, subject);
  };
  return { store, show, eraseAnn };
}

const count = (text: string, word: string) => text.split(word).length - 1;

it.each([
  { how: 'as JSON', form: ['--json'] },
  { how: 'as text', form: [] },
])(
  'S47 lethe show, $how, hands on nothing of an erased person after T0, however slowly it is read',
  async ({ form }) => {
    const { store, show, eraseAnn } = await openGroup(MESSAGE_BYTES);
    const running = startLethe(store.folder, [...show, ...form]);
    await running.printed('words-of-ann');
    running.child.stdout!.pause();
    // Until the pipe is full.
    await sleep(1_000);
    const before = (await running.printed('words-of-ann')).length;
    expect((await eraseAnn()).status).toBe('done');
    running.child.stdout!.resume();
    const { out, err, code } = await running.ended;
    const late = count(out.slice(before), 'words-of-ann') * 'words-of-ann '.length;
    expect(late).toBeLessThan(KERNEL_BYTES_MAX);
    // A line of hers that was half written cannot be told whole any more, nor taken back.
    if (code === 4) expect(err).toContain('the output ends before its end');
    else expect(code).toBe(0);
    const again = await lethe(store.folder, show);
    expect(again.code).toBe(0);
    expect(again.out).not.toContain('words-of-ann');
    expect(count(again.out, '"deleted":true')).toBe(MESSAGES);
    expect(count(again.out, '"words-of-ben')).toBe(MESSAGES);
  },
  60_000,
);

it('lethe show gives whoever reads slowly all of a conversation', async () => {
  const { store, show } = await openGroup(MESSAGE_BYTES);
  const running = startLethe(store.folder, [...show, '--json']);
  await running.printed('words-of-ann');
  for (let i = 0; i < 5; i += 1) {
    running.child.stdout!.pause();
    await sleep(200);
    running.child.stdout!.resume();
    await sleep(5);
  }
  const { out, code } = await running.ended;
  expect(code).toBe(0);
  const messages = out.trim().split('\n').slice(1);
  const whole = messages.filter((one) => JSON.parse(one).message.content.text.length > 50_000);
  expect(whole.length).toBe(2 * MESSAGES);
}, 60_000);
