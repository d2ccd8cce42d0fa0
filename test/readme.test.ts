import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { configurationTable } from '../services/cli/configuration-table.ts';

const readme = readFileSync(join(import.meta.dirname, '../README.md'), 'utf8');

describe('the README', () => {
  it('shows the configuration exactly as it is checked', () => {
    const shown = /<!-- configuration -->\n([\s\S]*?)\n<!-- \/configuration -->/.exec(readme)![1];
    expect(shown).toBe(configurationTable());
  });

  it('says where old copies of the vault still open what was erased', () => {
    expect(readme).toContain('**Old copies of the vault**');
  });
});
