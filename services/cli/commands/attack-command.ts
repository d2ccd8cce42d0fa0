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
        const attacked = await attackStore(store, readTexts(file));
        const { passed, tried, vault, running, notTried } = attacked;
        const leaking = running.flatMap((one) => one.services).filter((one) => one.opened > 0);
        const found = attacked.hits.map(({ file: where, form }) => ({ file: where, form }));
        printResult(options.json, { passed, tried, hits: found, vault, running, notTried }, [
          ...found.map((hit) => `FOUND   ${hit.form} in ${hit.file}`),
          `${tried.texts} texts in ${tried.files} files, in every form: ${found.length} hits`,
          `${vault.rows} rows of the vault: ${vault.tampered} do not authenticate`,
          ...leaking.map((one) => `LEAK    ${one.door} tells ${one.opened} lost messages`),
          ...running.map(({ app, lost, services }) => {
            return `app ${app}: ${lost} lost messages asked for at ${services.length} services`;
          }),
          ...notTried.map((what) => `not tried: ${what}`),
        ]);
        if (!passed) process.exitCode = exitCodes.failed;
      }),
    );
}

function readTexts(file: string): string[] {
  const text = readNamedFile(file, 'the texts');
  // Shorter ones are found by chance.
  const texts = text.split('\n').filter((line) => line.trim().length >= 4);
  if (texts.length > 0) return texts;
  throw new LetheError('INPUT_INVALID', 'give texts of four characters or more, one a line');
}
