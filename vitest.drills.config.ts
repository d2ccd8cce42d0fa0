import { defineConfig } from 'vitest/config';

/** The long suites: real processes, real crashes. */
export default defineConfig({
  test: {
    include: ['test/drills/**/*.test.ts'],
    testTimeout: 600_000,
    hookTimeout: 60_000,
    pool: 'forks',
    maxWorkers: 1,
  },
});
