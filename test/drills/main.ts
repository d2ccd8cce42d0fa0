/** Runs all drills; with --json, prints one document with every outcome and figure. */
import { spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

interface VitestReport {
  readonly success: boolean;
  readonly testResults: readonly {
    readonly assertionResults: readonly {
      readonly fullName: string;
      readonly status: string;
      readonly duration?: number;
    }[];
  }[];
}

const isJson = process.argv.includes('--json');
const folder = mkdtempSync(join(tmpdir(), 'lethe-drills-'));
const report = join(folder, 'report.json');
const figuresFile = join(folder, 'figures.jsonl');
const vitest = join(import.meta.dirname, '../../node_modules/vitest/vitest.mjs');
const filters = process.argv.slice(2).filter((argument) => argument !== '--json');
const asJson = ['--reporter=json', `--outputFile.json=${report}`];
const reporters = ['--reporter=default', ...(isJson ? asJson : [])];
const args = [vitest, 'run', '--config', 'vitest.drills.config.ts', ...reporters, ...filters];
const ended = spawnSync(process.execPath, args, {
  // What is printed on the way goes beside the document.
  stdio: ['ignore', isJson ? process.stderr : 'inherit', 'inherit'],
  env: { ...process.env, DRILL_FIGURES: figuresFile },
});
if (isJson) process.stdout.write(`${JSON.stringify(summary())}\n`);
rmSync(folder, { recursive: true, force: true });
process.exitCode = ended.status ?? 1;

function summary() {
  const { success, testResults } = JSON.parse(readFileSync(report, 'utf8')) as VitestReport;
  const drills = testResults.flatMap((one) => one.assertionResults);
  const lines = existsSync(figuresFile) ? readFileSync(figuresFile, 'utf8').trim().split('\n') : [];
  const figures = lines.filter(Boolean).map((line) => {
    const { name, figures: value } = JSON.parse(line) as { name: string; figures: unknown };
    return [name, value] as const;
  });
  return {
    passed: success,
    drills: drills.map(({ fullName, status, duration }) => {
      return { drill: fullName, status, seconds: Math.round(duration ?? 0) / 1_000 };
    }),
    figures: Object.fromEntries(figures),
  };
}
