/** The table of `docs/configuration.md`, written from the settings that are checked at start. */
import { settings } from '../../libs/configuration/settings.ts';

/** The table as Markdown. */
export function configurationTable(): string {
  const rows = settings.map(({ name, fallback, expected, purpose }) => {
    const shown = fallback === '' ? '' : `\`${fallback}\``;
    return `| \`${name}\` | ${shown} | ${expected} | ${purpose} |`;
  });
  return ['| variable | default | expected | what it is for |', '| --- | --- | --- | --- |']
    .concat(rows)
    .join('\n');
}

if (import.meta.main) process.stdout.write(`${configurationTable()}\n`);
