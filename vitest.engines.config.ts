import { defineConfig } from 'vitest/config';

/**
 * Contract suites, flows and drills on real servers, which are started for them. Of the flows those
 * that take and refuse to give back run there; the others are about what no engine changes.
 */
const FLOWS = ['grains', 'attack-doors', 'apps', 'dead-letters'];

export default defineConfig({
  test: {
    include: [
      'test/contract/**/*.test.ts',
      'test/engines/**/*.test.ts',
      'test/services/operations/copy.test.ts',
      'test/drills/t0.test.ts',
      'test/drills/ring-storm.test.ts',
      ...FLOWS.map((name) => `test/flow/${name}.test.ts`),
    ],
    globalSetup: ['test/support/start-servers.ts'],
    testTimeout: 400_000,
    hookTimeout: 300_000,
    pool: 'forks',
    maxWorkers: 1,
  },
});
