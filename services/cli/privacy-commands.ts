/** `lethe erase` and `lethe forget`. */
import type { Command } from 'commander';
import type { ConversationId, MessageId } from '../../libs/base/ids.ts';
import { createPrivacy, type PrivacyOutcome } from '../privacy/privacy.ts';
import { findApp, type OpenStore, withStore } from './open-store.ts';
import { findSubject, readIdArgument } from './read-commands.ts';
import { CommandEnd, exitCodes, printResult } from './terminal.ts';

/** Adds the commands. */
export function addPrivacyCommands(program: Command): void {
  const erase = program.command('erase').description('a person or an app, for good');
  erase
    .command('subject')
    .argument('<ids...>', 'ids of people (lethe find)')
    .requiredOption('--app <app>', 'name or id of the app')
    .option('--json', 'print JSON')
    .action((ids: string[], options) =>
      withStore(async (store) => {
        // One that is gone already does not keep the others; the first refusal is the exit code.
        for (const id of ids) {
          try {
            await eraseSubject(store, { id, ...options });
          } catch (error) {
            if (!(error instanceof CommandEnd) || ids.length === 1) throw error;
            const status = error.exitCode === exitCodes.erased ? 'erased before' : 'not found';
            printResult(options.json, { status, subjectId: id }, [`${id}: ${error.message}`]);
            process.exitCode ??= error.exitCode;
          }
        }
      }),
    );
  erase
    .command('app')
    .argument('<app>', 'name or id of the app')
    .option('--json', 'print JSON')
    .action((name: string, options) =>
      withStore(async ({ backends }) => {
        const app = await findApp(backends, name);
        const outcome = await createPrivacy(backends.privacy()).eraseApp(app.id);
        report(outcome, options.json, { app: app.id }, 'the app is erased');
      }),
    );
  addForgetCommands(program);
}

async function eraseSubject(
  { backends }: OpenStore,
  options: { id: string; app: string; json: boolean },
): Promise<void> {
  const app = await findApp(backends, options.app);
  const powers = backends.privacy();
  const subject = await findSubject(powers, app.id, options.id);
  const started = performance.now();
  const outcome = await createPrivacy(powers).eraseSubject(app.id, subject);
  const milliseconds = Math.round(performance.now() - started);
  const shown = { subjectId: options.id, milliseconds };
  const sentence = `erased in ${milliseconds} ms: no key of theirs is left in this vault`;
  report(outcome, options.json, shown, sentence);
}

function addForgetCommands(program: Command): void {
  const forget = program.command('forget').description('a message, or a conversation’s messages');
  forget
    .command('message')
    .argument('<id>', 'id of the message')
    .requiredOption('--app <app>', 'name or id of the app')
    .option('--json', 'print JSON')
    .action((id: string, options) =>
      withStore(async ({ backends }) => {
        const app = await findApp(backends, options.app);
        const powers = backends.privacy();
        const message = readIdArgument<MessageId>(id);
        const view = await powers.views.message(message);
        const conversation = (view?.conversation ?? '') as ConversationId;
        const outcome =
          view === undefined
            ? ({ status: 'notFound' } as const)
            : await createPrivacy(powers).forgetMessage(app.id, conversation, message);
        report(outcome, options.json, { message }, 'the message is forgotten');
      }),
    );
  forget
    .command('conversation')
    .argument('<id>', 'id of the conversation; it can be written to again')
    .requiredOption('--app <app>', 'name or id of the app')
    .option('--json', 'print JSON')
    .action((id: string, options) =>
      withStore(async ({ backends }) => {
        const app = await findApp(backends, options.app);
        const conversation = readIdArgument<ConversationId>(id);
        const privacy = createPrivacy(backends.privacy());
        const outcome = await privacy.clearConversation(app.id, conversation);
        report(outcome, options.json, { conversation }, 'all its messages are forgotten');
      }),
    );
}

function report(
  outcome: PrivacyOutcome,
  isJson: boolean,
  shown: Record<string, unknown>,
  sentence: string,
): void {
  switch (outcome.status) {
    case 'done': {
      const { erasure, t0 } = outcome;
      const { feedNumber, t0Ms, waitedMs, holders } = t0;
      const at = new Date(t0Ms).toISOString();
      const result = {
        status: 'erased',
        erasure,
        ...shown,
        t0: { at, feedNumber, waitedMs, holders },
      };
      const others = holders.filter(({ how }) => how === 'waited').length;
      const t0Sentence =
        `no running process can read it since ${at} (${holders.length} asked` +
        `${others === 0 ? '' : `, the lease of ${others} waited out`})`;
      printResult(isJson, result, [sentence, t0Sentence]);
      return;
    }
    case 'erased':
      throw new CommandEnd(exitCodes.erased, 'it was erased before');
    case 'notFound':
      throw new CommandEnd(exitCodes.notFound, 'there is nothing of this id');
    case 'refused':
      throw new CommandEnd(exitCodes.refused, outcome.reason);
  }
}
