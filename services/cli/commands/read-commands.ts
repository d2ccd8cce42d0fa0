/** `lethe show` and `lethe find`. */
import { isUtf8 } from 'node:buffer';
import type { Command } from 'commander';
import {
  type Alias,
  type AppId,
  type ConversationId,
  type MessageId,
  type SubjectId,
  textToId,
} from '../../../libs/base/ids.ts';
import { LetheError } from '../../../libs/base/lethe-error.ts';
import { spellerOf } from '../../../libs/conversation/spelling-rules.ts';
import type { ReaderPowers } from '../../../libs/wiring/powers.ts';
import { findNear } from '../../reader/find-near.ts';
import { readList } from '../../reader/list-page.ts';
import {
  conversationsOf,
  readConversation,
  readParticipants,
  readUser,
} from '../../reader/read-conversations.ts';
import { type MessageJson, readMessages } from '../../reader/read-messages.ts';
import { notedPowers, showOpened, writeOpened } from '../handed-output.ts';
import { findApp, withStore } from '../open-store.ts';
import {
  CommandEnd,
  createProgress,
  exitCodes,
  printResult,
  resultText,
  visible,
} from '../terminal.ts';
import { showEvent } from './show-event.ts';

const PAGE_MESSAGES = 500;
/** As much is opened, and lies in memory, at a time. */
const PAGE_BYTES_MAX = 2 * 1_048_576;

/** An argument as an id, or wrong usage. */
export function readIdArgument<Id extends Alias | ConversationId | MessageId>(text: string): Id {
  const id = textToId<Id>(text.replaceAll('-', ''));
  if (id !== undefined) return id;
  const why =
    'an id has 32 hexadecimal digits: lethe find tells that of a person, lethe show subject ' +
    'those of conversations, and lethe show conversation --json those of messages';
  throw new LetheError('INPUT_INVALID', why);
}

/** An identity given as an argument, or on stdin as `-`, since arguments show in process lists. */
async function readIdentityArgument(text: string): Promise<string> {
  if (text !== '-') return text;
  const chunks: Buffer[] = [];
  for await (const chunk of process.stdin) chunks.push(chunk as Buffer);
  // As it is, less the end of its line: a no-break space may be a part of a name.
  const bytes = Buffer.concat(chunks);
  if (!isUtf8(bytes)) throw new LetheError('INPUT_INVALID', 'standard input is not UTF-8');
  const identity = bytes.toString('utf8').replace(/\r?\n$/, '');
  if (identity !== '') return identity;
  throw new LetheError('INPUT_INVALID', 'standard input had no identity in it');
}

/** The subject behind a user id, or the end of the command: erased or not found. */
export async function findSubject(
  powers: Pick<ReaderPowers, 'directory'>,
  app: AppId,
  id: string,
): Promise<SubjectId> {
  const found = await powers.directory.findAlias(app, readIdArgument<Alias>(id));
  if (found === 'erased') throw new CommandEnd(exitCodes.erased, 'this person was erased');
  if (found === undefined) throw new CommandEnd(exitCodes.notFound, 'there is no such person');
  return found;
}

/** Adds the commands. */
export function addReadCommands(program: Command): void {
  const show = program.command('show').description('a conversation, a person, an event');
  show
    .command('conversation')
    .description('a conversation and its messages')
    .argument('<id>', 'id of the conversation')
    .requiredOption('--app <app>', 'name or id of the app')
    .option('--json', 'print JSON')
    .action((id: string, options) =>
      withStore(async ({ backends }) => {
        const app = (await findApp(backends, options.app)).id;
        const conversation = readIdArgument<ConversationId>(id);
        await showConversation(backends.reader(), app, { conversation, json: options.json });
      }),
    );
  show
    .command('subject')
    .description('a person: profile and identities')
    .argument('<id>', 'id of the person (lethe find)')
    .requiredOption('--app <app>', 'name or id of the app')
    .option('--json', 'print JSON')
    .action((id: string, options) =>
      withStore(async ({ backends }) => {
        const app = (await findApp(backends, options.app)).id;
        await showSubject(backends.reader(), app, { id, json: options.json });
      }),
    );
  show
    .command('event')
    .description('one event of the log, by its id or its message’s')
    .argument('<id>', 'id of an event (eventId), or of a message')
    .requiredOption('--app <app>', 'name or id of the app')
    .option('--json', 'print JSON')
    .action((id: string, options) =>
      withStore(async ({ backends }) => {
        const app = (await findApp(backends, options.app)).id;
        const event = readIdArgument<MessageId>(id);
        await showEvent(backends.reader(), app, { event, json: options.json });
      }),
    );
  program
    .command('find')
    .description('the person that a channel-side name leads to; if nobody, who is near')
    .argument('<channel>', 'channel of the identity')
    .argument('<identity>', 'the identity on that channel; - reads it from standard input')
    .requiredOption('--app <app>', 'name or id of the app')
    .option('--json', 'print JSON')
    .action((channel: string, identity: string, options) =>
      withStore(async ({ backends }) => {
        const { id: app, spellingRules } = await findApp(backends, options.app);
        const powers = backends.reader();
        const given = { channel, externalId: await readIdentityArgument(identity) };
        const { externalId } = (await spellerOf(spellingRules)).identity(given);
        const [subject] = await powers.directory.findSubjects(app, [{ channel, externalId }]);
        const [entry] = subject ? await powers.directory.subjects(app, [subject]) : [];
        if (entry === undefined) {
          return endWithNear(powers, app, { externalId, json: options.json === true });
        }
        const subjectId = entry.value.alias;
        printResult(options.json, { subjectId }, [subjectId]);
      }),
    );
}

/** Nobody is known by exactly this: who may be meant is told, and that it is not sure. */
async function endWithNear(
  powers: ReaderPowers,
  app: AppId,
  { externalId, json }: { readonly externalId: string; readonly json: boolean },
): Promise<never> {
  const progress = createProgress(json);
  const exact = 'nobody is known by exactly this identity on this channel';
  let count = 0;
  await showOpened(powers, async (own) => {
    const near = await findNear(own, app, externalId, (looked) =>
      progress.show(`${looked} people looked at`),
    );
    progress.clear();
    count = near.length;
    const lines = near.map((one) => {
      const name = one.displayName === null ? '' : `  ${one.displayName}`;
      return `${one.subjectId}  ${one.channel}  ${one.externalId}${name}`;
    });
    return count === 0 ? '' : resultText(json, { candidates: near }, lines);
  });
  if (count === 0) {
    const text = `${exact}, nor by one that is near, on any channel`;
    throw new CommandEnd(exitCodes.notFound, text);
  }
  const text = `${exact}; these ${count} are near: look at them with lethe show subject`;
  throw new CommandEnd(exitCodes.notFound, text);
}

async function showConversation(
  powers: ReaderPowers,
  app: AppId,
  query: { conversation: ConversationId; json: boolean },
): Promise<void> {
  await showOpened(powers, async (own) => {
    const conversation = await readConversation(own, app, query.conversation);
    if (conversation === 'erased') {
      throw new CommandEnd(exitCodes.erased, 'this conversation was erased');
    }
    if (conversation === undefined) {
      throw new CommandEnd(exitCodes.notFound, 'there is no such conversation');
    }
    const list = await readParticipants(own, app, query.conversation);
    const participants = await Array.fromAsync(readList(list));
    return query.json ? `${JSON.stringify({ conversation, participants })}\n` : '';
  });
  await showMessages(powers, app, query);
}

/** Page by page: whatever is erased before its line is written is shown as what is left of it. */
async function showMessages(
  powers: ReaderPowers,
  app: AppId,
  { conversation, json }: { conversation: ConversationId; json: boolean },
): Promise<void> {
  for (let after = '00'; ; ) {
    const { noted, own } = notedPowers(powers);
    const page = { after, limit: PAGE_MESSAGES, bytesMax: PAGE_BYTES_MAX };
    const { messages, views } = await readMessages(own, app, { conversation, page });
    if (views.length === 0) return;
    for (const [i, message] of messages.entries()) {
      const line = resultText(json, { message }, [messageLine(message)]);
      if (!(await writeOpened(powers, line, noted))) break;
      after = views[i]!.position;
    }
  }
}

/** One message as people read it. */
export function messageLine(message: MessageJson): string {
  const time = message.received.replace('T', ' ').slice(0, 16);
  if (message.deleted) return `${time}  [deleted]`;
  const who = message.author?.displayName ?? message.author?.type ?? '';
  const text = message.content?.text ?? `[${String(message.content?.type)}]`;
  const reactions = message.reactions?.map((one) => one.reaction).join(' ');
  const marks = `${message.edited ? '  (edited)' : ''}${reactions ? `  ${reactions}` : ''}`;
  return visible(`${time}  ${who}: ${String(text)}${marks}`);
}

async function showSubject(
  powers: ReaderPowers,
  app: AppId,
  query: { id: string; json: boolean },
): Promise<void> {
  const subject = await findSubject(powers, app, query.id);
  await showOpened(powers, async (own) => {
    const user = await readUser(own, app, subject);
    if (user === undefined) throw new CommandEnd(exitCodes.erased, 'this person was erased');
    const conversations = await Array.fromAsync(readList(conversationsOf(own, app, subject)));
    const shown = { subjectId: user.id, user, conversations };
    return resultText(query.json, shown, [
      JSON.stringify(user, null, 2),
      `${conversations.length} conversations`,
      ...conversations.map((one) => `${one.id}  ${one.type}  ${one.lastUpdatedAt ?? ''}`),
    ]);
  });
}
