/** `lethe forget`: a message, an attachment, a conversation's messages, days. */

import type { Command } from 'commander';
import { dayToText, msToDay, textToDay } from '../../../libs/base/day.ts';
import type { ConversationId, MessageId } from '../../../libs/base/ids.ts';
import { LetheError } from '../../../libs/base/lethe-error.ts';
import { decodeSealedEvent } from '../../../libs/codec/sealed-event.ts';
import { retentionClasses } from '../../../libs/sealing/tree-path.ts';
import type { PrivacyPowers } from '../../../libs/wiring/powers.ts';
import { createPrivacy } from '../../privacy/doors/privacy.ts';
import { findThing } from '../../privacy/kinds/find-thing.ts';
import { previewLoss } from '../../privacy/life/preview.ts';
import { findApp, withStore } from '../open-store.ts';
import { CommandEnd, exitCodes, lasting } from '../terminal.ts';
import { report, reportPreview } from './privacy-report.ts';
import { findSubject, readIdArgument } from './read-commands.ts';

const AGEING = Object.entries(retentionClasses).filter(([name]) => name !== 'ageless');
const CLASS_NAMES = `${AGEING.map(([name]) => name).join(', ')}, or a number from 4 to 14`;
const PREVIEW = 'count what it would take, and change nothing';

/** Adds the commands. */
export function addForgetCommands(program: Command): void {
  const forget = program
    .command('forget')
    .description('a message, an attachment, a conversation’s messages, days');
  addMessage(forget);
  addAttachment(forget);
  addConversation(forget);
  addDays(forget);
}

function addMessage(forget: Command): void {
  forget
    .command('message')
    .description('a message with its edits and everybody’s reactions')
    .argument('<id>', 'id of the message')
    .requiredOption('--app <app>', 'name or id of the app')
    .option('--preview', PREVIEW)
    .option('--json', 'print JSON')
    .action((id: string, options) =>
      withStore(async ({ backends }) => {
        const app = await findApp(backends, options.app);
        const powers = backends.privacy();
        const message = readIdArgument<MessageId>(id);
        const { conversation } = await findMessage(powers, message);
        if (options.preview) {
          const found = await findThing(powers, app.id, { conversation, message });
          // Neighbours refuse the run; the preview is what names them.
          if ('status' in found && found.status !== 'refused') report(found, options.json, {}, '');
          const wanted = { kind: 'forget-message' as const, target: { conversation, message } };
          const preview = await previewLoss(powers, app.id, wanted);
          return reportPreview(preview, options.json);
        }
        const outcome = await lasting(
          createPrivacy(powers).forgetMessage(app.id, conversation, message),
        );
        report(outcome, options.json, { message }, 'the message is forgotten');
      }),
    );
}

function addAttachment(forget: Command): void {
  forget
    .command('attachment')
    .description('an attachment; its message stays')
    .argument('<id>', 'id of the attachment')
    .requiredOption('--message <id>', 'the message that it belongs to')
    .requiredOption('--app <app>', 'name or id of the app')
    .option('--json', 'print JSON')
    .action((id: string, options) =>
      withStore(async ({ backends }) => {
        const app = await findApp(backends, options.app);
        const powers = backends.privacy();
        const attachment: string = readIdArgument(id);
        const message = readIdArgument<MessageId>(options.message);
        const { conversation, record } = await findMessage(powers, message);
        const of = { conversation, message, attachment };
        const outcome = await lasting(createPrivacy(powers).forgetAttachment(app.id, of));
        const { attachments } = decodeSealedEvent(record).header;
        const isListed = attachments.includes(attachment);
        const known = isListed ? '' : ' (its message names no such attachment)';
        const shown = { attachment, namedByMessage: isListed };
        report(outcome, options.json, shown, `the key of the attachment is gone${known}`);
      }),
    );
}

function addConversation(forget: Command): void {
  forget
    .command('conversation')
    .description('all messages of a conversation')
    .argument('<id>', 'id of the conversation; it can be written to again')
    .requiredOption('--app <app>', 'name or id of the app')
    .option('--preview', PREVIEW)
    .option('--json', 'print JSON')
    .action((id: string, options) =>
      withStore(async ({ backends }) => {
        const app = await findApp(backends, options.app);
        const conversation = readIdArgument<ConversationId>(id);
        const powers = backends.privacy();
        if (options.preview) {
          const wanted = { kind: 'clear-conversation' as const, target: { conversation } };
          const preview = await previewLoss(powers, app.id, wanted);
          return reportPreview(preview, options.json);
        }
        const outcome = await lasting(
          createPrivacy(powers).clearConversation(app.id, conversation),
        );
        report(outcome, options.json, { conversation }, 'all its messages are forgotten');
      }),
    );
}

function addDays(forget: Command): void {
  forget
    .command('days')
    .description('what happened on some days: of one person, or of everybody in the app')
    .requiredOption('--app <app>', 'name or id of the app')
    .requiredOption('--from <date>', 'first day, as in 2004-01-31 (UTC)')
    .requiredOption('--to <date>', 'the day after the last one')
    .option('--subject <id>', 'id of the person; without it, everybody')
    .option('--class <class>', `only ${CLASS_NAMES}; without it, all that age`, readClass)
    .option('--preview', PREVIEW)
    .option('--yes', 'without --subject: those days of everybody are to go')
    .option('--json', 'print JSON')
    .action((options) =>
      withStore(async ({ backends }) => {
        const app = await findApp(backends, options.app);
        const powers = backends.privacy();
        const fromDay = readDay('--from', options.from);
        const toDay = readDay('--to', options.to) - 1;
        if (toDay < fromDay) throw new LetheError('INPUT_INVALID', '--to: a day after --from');
        if (toDay > msToDay(powers.clock.nowMs())) {
          const text = 'a day that has not come: what happens on it would be refused for good';
          throw new LetheError('INPUT_INVALID', `--to: ${dayToText(toDay)} is ${text}`);
        }
        const subject = options.subject && (await findSubject(powers, app.id, options.subject));
        const retentionClass = options.class as number | undefined;
        const days = {
          fromDay,
          toDay,
          ...(subject && { subject }),
          ...(retentionClass !== undefined && { retentionClass }),
        };
        if (options.preview) {
          const wanted = { kind: 'forget-days' as const, target: days };
          const preview = await previewLoss(powers, app.id, wanted);
          return reportPreview(preview, options.json);
        }
        if (subject === undefined && !options.yes) {
          const text = `${toDay - fromDay + 1} days of everybody in the app would go, for good`;
          const advice = 'see --preview, then add --yes; or name one person, with --subject';
          throw new LetheError('INPUT_INVALID', `${text}: ${advice}`);
        }
        const outcome = await lasting(createPrivacy(powers).forgetDays(app.id, days));
        const shown = { from: options.from, to: options.to, subjectId: options.subject ?? null };
        report(outcome, options.json, shown, `${toDay - fromDay + 1} days are forgotten`);
      }),
    );
}

/** The message as the views have it. Ends the command when there is none. */
async function findMessage({ views }: Pick<PrivacyPowers, 'views'>, message: MessageId) {
  const view = await views.message(message);
  if (view !== undefined) return view;
  throw new CommandEnd(exitCodes.notFound, 'there is nothing of this id');
}

/** A class by its name, or by the number of one of an app's own. */
function readClass(text: string): number {
  const named = AGEING.find(([name]) => name === text)?.[1];
  const own = /^(?:[4-9]|1[0-4])$/.test(text) ? Number(text) : undefined;
  const found = named ?? own;
  if (found !== undefined) return found;
  throw new LetheError('INPUT_INVALID', `--class: expected ${CLASS_NAMES}`);
}

function readDay(option: string, text: string): number {
  try {
    return textToDay(text);
  } catch {
    throw new LetheError(
      'INPUT_INVALID',
      `${option}: expected a day as in 2004-01-31, 1970 to 2149`,
    );
  }
}
