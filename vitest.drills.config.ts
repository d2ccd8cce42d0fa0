import { defineConfig } from 'vitest/config';
import { leaveOut } from './test/support/drawn-drills.ts';

const LONG = [
  'crashes',
  'forgetting-real-input',
  'memory',
  'old-copies',
  'privacy-crashes',
  'real-input',
  'ring-storm',
  'slow-clients',
  't0',
];
const fileOf = (name: string) => `test/drills/${name}.test.ts`;
const left = leaveOut(LONG.map(fileOf));

/** Drills that compare times with a limit, or kill at moments: nothing else runs beside them. */
const ALONE = ['t0', 'crashes'].map(fileOf);

const common = { testTimeout: 600_000, hookTimeout: 60_000, pool: 'forks' as const };

/** The long suites: real processes, real crashes. Two at a time first, then some alone. */
export default defineConfig({
  test: {
    projects: [
      {
        test: {
          ...common,
          name: 'side by side',
          include: ['test/drills/**/*.test.ts'],
          exclude: [...ALONE, ...left],
          maxWorkers: 2,
          sequence: { groupOrder: 0 },
        },
      },
      {
        test: {
          ...common,
          name: 'alone',
          include: ALONE,
          exclude: left,
          maxWorkers: 1,
          sequence: { groupOrder: 1 },
        },
      },
    ],
  },
});
