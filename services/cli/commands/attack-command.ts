/** `lethe attack`: what somebody with the disk, or with an access key, finds of what is lost. */
import type { Command } from 'commander';
import { LetheError } from '../../../libs/base/lethe-error.ts';
import { attackStore } from '../../operations/attack-store.ts';
import { readNamedFile } from '../named-file.ts';
import { withStore } from '../open-store.ts';
import { exitCodes, printResult } from '../terminal.ts';

/** Adds the command. */
export function addAttackCommand(program: Command): void {
  program
    .command('attack')
    .description('search every file for texts that must not be there, and check the vault')
    .argument('[file]', 'texts, one a line: names, identities, sentences; - is standard input', '-')
    .option('--json', 'print JSON')
    .action((file: string, options) =>
      withStore(async (store) => {
        const { texts, tooShort } = readTexts(file);
        const attacked = await attackStore(store, texts);
        const { passed, tried, vault, running } = attacked;
        const notTried = [...attacked.notTried, ...tooShort];
        const leaking = running.flatMap((one) => one.services).filter((one) => one.opened > 0);
        const found = attacked.hits.map(({ file: where, form }) => ({ file: where, form }));
        printResult(options.json, { passed, tried, hits: found, vault, running, notTried }, [
          ...found.map((hit) => `FOUND   ${hit.form} in ${hit.file}`),
          `${tried.texts} texts in ${tried.files} files, in every form: ${found.length} hits`,
          `${vault.rows} rows of the vault: ${vault.tampered} do not authenticate`,
          ...leaking.map((one) => `LEAK    ${one.door} tells ${one.opened} lost messages`),
          ...running.map(({ app, lost, services }) => {
            const asked = `app ${app}: ${lost} lost messages`;
            if (services.length === 0) return `${asked}, asked for nowhere: no service answers`;
            return `${asked} asked for at ${services.length} services`;
          }),
          ...notTried.map((what) => `not tried: ${what}`),
        ]);
        if (!passed) process.exitCode = exitCodes.failed;
      }),
    );
}

// Shorter ones are found by chance.
const TEXT_LENGTH_MIN = 4;

/** The texts that are searched for, and of which lines that is not done: a text is not repeated. */
function readTexts(file: string): { texts: string[]; tooShort: string[] } {
  const lines = readNamedFile(file, 'the texts').split('\n');
  const isLong = (line: string) => line.trim().length >= TEXT_LENGTH_MIN;
  const texts = lines.filter(isLong);
  const tooShort = lines.flatMap((line, i) => {
    if (isLong(line) || line.trim() === '') return [];
    return [`the text of line ${i + 1}: it has fewer than four characters`];
  });
  if (texts.length > 0) return { texts, tooShort };
  throw new LetheError('INPUT_INVALID', 'give texts of four characters or more, one a line');
}
