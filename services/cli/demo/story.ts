/** The story that the demo tells. Every step verifies what it says; a failed one ends it. */
import { isLetheError } from '../../../libs/base/lethe-error.ts';
import { rebuildViews } from '../../../libs/projection/project.ts';
import { createPrivacy } from '../../privacy/doors/privacy.ts';
import type { MessageJson } from '../../reader/read-messages.ts';
import { messageLine } from '../commands/read-commands.ts';
import type { Sample } from './sample.ts';
import type { Stage } from './stage.ts';

/** One step as it is told and, with --json, reported. */
export interface Step {
  readonly step: string;
  readonly said: string;
  /** Lines of a conversation, where the step shows one. */
  readonly shown?: readonly string[];
  readonly figures: Readonly<Record<string, number>>;
}

function verify(condition: boolean, what: string): void {
  if (!condition) throw new Error(`not so: ${what}`);
}

const EXCERPT_FROM = 56;
const EXCERPT_TO = 66;

function excerpt(messages: readonly MessageJson[]): string[] {
  return messages.slice(EXCERPT_FROM, EXCERPT_TO).map(messageLine);
}

const isBy = (message: MessageJson, userId: string) => message.author?.userId === userId;

/** Tells the story on a stage; the steps as they are verified. */
export async function* tellStory(stage: Stage, sample: Sample): AsyncGenerator<Step> {
  yield await takeIn(stage, sample);
  const before = await stage.messages();
  verify(before.length === 140, 'the group has its 140 messages');
  yield {
    step: 'show',
    said: 'One conversation, as people read it:',
    shown: excerpt(before),
    figures: { messages: before.length },
  };
  yield await searchDisk(stage, sample);
  const userId = before.find((one) => one.content?.text === sample.sentence)!.author!.userId!;
  await stage.copyVault();
  yield await erase(stage, sample);
  const after = await stage.messages();
  yield compare(before, after, userId);
  yield await rebuild(stage, after);
  yield await sendAgain(stage, sample);
  yield await tryOldCopy(stage, before, userId);
  yield await turnAndTryAgain(stage, after);
}

async function takeIn(stage: Stage, sample: Sample): Promise<Step> {
  const summary = await stage.ingest(sample.events);
  const { accepted, rejected, seconds } = summary;
  verify(accepted === sample.events.length && rejected === 0, 'every event of the sample went in');
  const { people, messages } = sample.counts;
  return {
    step: 'ingest',
    said:
      `${accepted} events (${messages} messages of ${people} people on 4 channels, in seven ` +
      `languages) taken in, sealed and visible in ${seconds} s.`,
    figures: { ...sample.counts, accepted, seconds },
  };
}

async function searchDisk(stage: Stage, sample: Sample): Promise<Step> {
  const { sentence, person } = sample;
  const { files, hits, called } = await stage.search([sentence, person.name, person.externalId]);
  verify(hits === 0, 'no file holds the sentence or the person’s name or identity');
  return {
    step: 'search',
    said:
      `A search of all ${files} ${called} for "${sentence}", ` +
      'the name and the identity of who said it (UTF-8, UTF-16, base64, hex): 0 hits.',
    figures: { files, hits },
  };
}

async function erase(stage: Stage, sample: Sample): Promise<Step> {
  const person = await stage.person();
  verify(person !== undefined, 'the person is known');
  const started = performance.now();
  const outcome = await createPrivacy(stage.backends.privacy()).eraseSubject(stage.app.id, person!);
  const milliseconds = Math.round(performance.now() - started);
  verify(outcome.status === 'done', 'the erase was carried out');
  verify((await stage.person()) === undefined, 'nobody is found by the identity any more');
  return {
    step: 'erase',
    said: `${sample.person.name} is erased, in ${milliseconds} ms.`,
    figures: { milliseconds },
  };
}

function compare(
  before: readonly MessageJson[],
  after: readonly MessageJson[],
  userId: string,
): Step {
  verify(after.length === before.length, 'every message kept its place');
  let placeholders = 0;
  let others = 0;
  for (const [i, old] of before.entries()) {
    const now = after[i]!;
    if (isBy(old, userId)) {
      const expected = { id: old.id, received: old.received, deleted: true };
      verify(JSON.stringify(now) === JSON.stringify(expected), 'her words are placeholders');
      placeholders += 1;
    } else if (!JSON.stringify(old).includes(userId)) {
      verify(JSON.stringify(now) === JSON.stringify(old), 'everybody else’s are byte-equal');
      others += 1;
    }
  }
  verify(placeholders > 0 && others > 0, 'there were both');
  return {
    step: 'compare',
    said:
      `The same conversation: ${placeholders} messages are placeholders, ` +
      `the ${others} of everybody else are byte-equal.`,
    shown: excerpt(after),
    figures: { placeholders, others },
  };
}

async function rebuild(stage: Stage, after: readonly MessageJson[]): Promise<Step> {
  const events = await rebuildViews(
    stage.backends.projector(),
    stage.backends.reader().keyring,
    () => undefined,
  );
  const rebuilt = await stage.messages();
  verify(JSON.stringify(rebuilt) === JSON.stringify(after), 'a rebuild gives the same bytes');
  return {
    step: 'rebuild',
    said: `The views are built anew from the log (${events} events): still so, byte for byte.`,
    figures: { events },
  };
}

async function sendAgain(stage: Stage, sample: Sample): Promise<Step> {
  const { externalId } = sample.person;
  const hers = sample.events.filter((event) => {
    const { author } = event.data as { author?: { identity?: { externalId: string } } };
    const isMessage = event.type === 'lethe.message.received';
    return isMessage && author?.identity?.externalId === externalId;
  });
  const { accepted, erased } = await stage.ingest(hers);
  verify(accepted === 0 && erased === hers.length, 'her old messages are refused as erased');
  verify((await stage.person()) === undefined, 'and she is not made anew by them');
  return {
    step: 'redeliver',
    said: `The channel delivers her ${hers.length} messages once more: all refused as erased.`,
    figures: { delivered: hers.length, erased },
  };
}

async function tryOldCopy(
  stage: Stage,
  before: readonly MessageJson[],
  userId: string,
): Promise<Step> {
  const opened = await stage.messagesByCopy();
  const hers = before.filter((one) => isBy(one, userId));
  const readable = hers.filter((one) => opened.find((now) => now.id === one.id)?.deleted !== true);
  verify(readable.length === hers.length, 'the copy opens what it held when it was made');
  return {
    step: 'old copy',
    said:
      `A copy of the vault from before the erase, with today’s keys, opens ` +
      `${readable.length} of her ${hers.length} messages. This is the truth until the key at the ` +
      'root is changed and destroyed.',
    figures: { hers: hers.length, readable: readable.length },
  };
}

async function turnAndTryAgain(stage: Stage, after: readonly MessageJson[]): Promise<Step> {
  const { buckets, rows } = await stage.turn();
  const refused = await stage.messagesByCopy().then(
    () => undefined,
    (error: unknown) => (isLetheError(error) ? error.code : String(error)),
  );
  verify(refused === 'ROOT_KMS_DENIED', 'after the turn, the old copy opens nothing at all');
  const now = await stage.messages();
  verify(JSON.stringify(now) === JSON.stringify(after), 'and everybody else reads as before');
  return {
    step: 'turn',
    said:
      `A turn changes the key at the root (${buckets} of the keys under it, ${rows} rows) and ` +
      'destroys the old one: the copy opens nothing any more, of nobody. A backup was made and ' +
      'tested before; everybody else reads as before, byte for byte.',
    figures: { buckets, rows },
  };
}
