import { defineConfig } from 'vitest/config';

/** Drills that compare times with a limit, or kill at moments: nothing else runs beside them. */
const ALONE = ['test/drills/t0.test.ts', 'test/drills/crashes.test.ts'];

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
          exclude: ALONE,
          maxWorkers: 2,
          sequence: { groupOrder: 0 },
        },
      },
      {
        test: {
          ...common,
          name: 'alone',
          include: ALONE,
          maxWorkers: 1,
          sequence: { groupOrder: 1 },
        },
      },
    ],
  },
});
