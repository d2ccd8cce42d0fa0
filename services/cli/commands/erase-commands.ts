/** `lethe erase`: people and apps, for good. */
import type { Command } from 'commander';
import { type AppId, type SubjectId, textToId } from '../../../libs/base/ids.ts';
import { LetheError } from '../../../libs/base/lethe-error.ts';
import { readPeople } from '../../../libs/people/people.ts';
import type { OpenStore } from '../../../libs/wiring/open-backends.ts';
import { createPrivacy } from '../../privacy/doors/privacy.ts';
import { previewLoss, previewLosses } from '../../privacy/life/preview.ts';
import { showOpened } from '../handed-output.ts';
import { readNamedFile } from '../named-file.ts';
import { findApp, withStore } from '../open-store.ts';
import {
  CommandEnd,
  createProgress,
  type ExitCode,
  exitCodes,
  lasting,
  printResult,
} from '../terminal.ts';
import {
  certificateFields,
  certificateLines,
  previewText,
  report,
  reportPreview,
  whyNotDone,
} from './privacy-report.ts';
import { findSubject } from './read-commands.ts';

interface SubjectOptions {
  readonly app: string;
  readonly file?: string;
  readonly preview?: boolean;
  readonly json: boolean;
}

/** Adds the commands. */
export function addEraseCommands(program: Command): void {
  const erase = program.command('erase').description('a person or an app, for good');
  erase
    .command('subject')
    .description('people: their words, names and personal conversations')
    .argument('[ids...]', 'ids of people (lethe find)')
    .requiredOption('--app <app>', 'name or id of the app')
    .option('--file <file>', 'more ids, one a line')
    .option('--preview', 'count what it would take, and change nothing')
    .option('--json', 'print JSON')
    .action((given: string[], options: SubjectOptions) =>
      withStore((store) => {
        const more = options.file === undefined ? [] : readIds(options.file);
        const ids = [...given, ...more];
        if (ids.length === 0) throw new LetheError('INPUT_INVALID', 'name people, or --file');
        return ids.length === 1
          ? eraseOne(store, ids[0]!, options)
          : eraseMany(store, ids, options);
      }),
    );
  erase
    .command('app')
    .description('an app with everything in it')
    .argument('<app>', 'name or id of the app')
    .option('--preview', 'count what it would take, and change nothing')
    .option('--yes', 'everything in it is to go, and nothing brings it back')
    .option('--json', 'print JSON')
    .action((name: string, options) =>
      withStore(async ({ backends }) => {
        const app = await findApp(backends, name);
        if (options.preview) {
          const preview = await previewLoss(backends.privacy(), app.id, {
            kind: 'erase-app',
            target: {},
          });
          return reportPreview(preview, options.json);
        }
        if (!options.yes) {
          const text = `the app ${app.id} would go with everybody in it, for good`;
          throw new LetheError('INPUT_INVALID', `${text}: see --preview, then add --yes`);
        }
        const outcome = await lasting(createPrivacy(backends.privacy()).eraseApp(app.id));
        report(outcome, options.json, { app: app.id }, 'the app is erased');
      }),
    );
}

/** Nobody is erased by a file in which one id is mistyped. */
function readIds(file: string): string[] {
  return readNamedFile(file, '--file')
    .split('\n')
    .flatMap((line, i) => {
      const ids = line.split(/\s+/).filter(Boolean);
      if (ids.every((id) => textToId(id.replaceAll('-', '')) !== undefined)) return ids;
      const text = `--file, line ${i + 1}: an id has 32 hexadecimal digits. Nobody was erased`;
      throw new LetheError('INPUT_INVALID', text);
    });
}

async function eraseOne(
  { backends }: OpenStore,
  id: string,
  options: SubjectOptions,
): Promise<void> {
  const app = await findApp(backends, options.app);
  const powers = backends.privacy();
  const subject = await findSubject(powers, app.id, id);
  const found = new Map([[subject, id]]);
  if (options.preview) return previewPeople(backends, app.id, { found, json: options.json });
  const started = performance.now();
  const outcome = await lasting(createPrivacy(powers).eraseSubject(app.id, subject));
  const milliseconds = Math.round(performance.now() - started);
  const sentence = `erased in ${milliseconds} ms: no key of theirs is left in this vault`;
  report(outcome, options.json, { subjectId: id, milliseconds }, sentence);
}

/** What erasing each of these people would take, and who they are; nothing is changed. */
async function previewPeople(
  backends: OpenStore['backends'],
  app: AppId,
  { found, json }: { readonly found: ReadonlyMap<SubjectId, string>; readonly json: boolean },
): Promise<void> {
  const subjects = [...found.keys()];
  const wanted = subjects.map((subject) => {
    return { kind: 'erase-subject' as const, target: { subject } };
  });
  const previews = await previewLosses(backends.privacy(), app, wanted);
  await showOpened(backends.reader(), async (own) => {
    const people = await readPeople(own, app, subjects);
    const texts = subjects.map((subject, i) => {
      const { displayName = null, identities = [] } = people.get(subject) ?? {};
      const shown = identities.map(({ channel, externalId }) => ({ channel, externalId }));
      const person = { subjectId: found.get(subject)!, displayName, identities: shown };
      return previewText(previews[i]!, json, person);
    });
    return texts.join('');
  });
}

const WORST_FIRST: readonly ExitCode[] = [
  exitCodes.failed,
  exitCodes.refused,
  exitCodes.notFound,
  exitCodes.erased,
];

/** Of several ends the worst counts: who is gone already hides nobody who was not found. */
function endWith(exitCode: ExitCode): void {
  const now = WORST_FIRST.indexOf(process.exitCode as ExitCode);
  if (now < 0 || WORST_FIRST.indexOf(exitCode) < now) process.exitCode = exitCode;
}

/** One that is gone already does not keep the others; the worst end is the exit code. */
async function eraseMany(
  { backends }: OpenStore,
  ids: readonly string[],
  options: SubjectOptions,
): Promise<void> {
  const app = await findApp(backends, options.app);
  const powers = backends.privacy();
  const progress = createProgress(options.json);
  const found = new Map<SubjectId, string>();
  for (const id of ids) {
    try {
      found.set(await findSubject(powers, app.id, id), id);
    } catch (error) {
      if (!(error instanceof CommandEnd)) throw error;
      const status = error.exitCode === exitCodes.erased ? 'erased before' : 'not found';
      printResult(options.json, { status, subjectId: id }, [`${id}: ${error.message}`]);
      endWith(error.exitCode);
    }
  }
  if (options.preview) return previewPeople(backends, app.id, { found, json: options.json });
  const subjects = [...found.keys()];
  const started = performance.now();
  let done = 0;
  for (let at = 0; at < subjects.length; at += 100) {
    const part = subjects.slice(at, at + 100);
    const outcomes = await lasting(createPrivacy(powers).eraseSubjects(app.id, part));
    for (const [i, outcome] of outcomes.entries()) {
      const subjectId = found.get(part[i]!)!;
      if (outcome.status !== 'done') {
        const [exitCode, text] = whyNotDone(outcome);
        printResult(options.json, { status: outcome.status, subjectId }, [`${subjectId}: ${text}`]);
        endWith(exitCode);
        continue;
      }
      done += 1;
      const { erasure, t0, certificate } = outcome;
      const line = {
        status: 'erased',
        erasure,
        subjectId,
        t0: new Date(t0.t0Ms).toISOString(),
        ...(certificate && certificateFields(certificate)),
      };
      const lines = certificate ? certificateLines(certificate) : [];
      printResult(options.json, line, [`${subjectId}: erased`, ...lines]);
    }
    progress.show(`${done} of ${subjects.length} erased`);
  }
  progress.clear();
  const seconds = Math.round(performance.now() - started) / 1_000;
  const people = done === 1 ? '1 person' : `${done} people`;
  printResult(options.json, { erased: done, seconds }, [`${people} erased in ${seconds} s`]);
}
