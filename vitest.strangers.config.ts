import { defineConfig } from 'vitest/config';

/** Programs that others have written, against the server: what they know of it is its document. */
export default defineConfig({
  test: {
    include: ['test/strangers/**/*.test.ts', 'test/drills/public-client.test.ts'],
    testTimeout: 900_000,
    hookTimeout: 300_000,
    pool: 'forks',
    maxWorkers: 1,
  },
});
