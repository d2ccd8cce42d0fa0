import { defineConfig } from 'vitest/config';
import { leaveOut } from './test/support/drawn-drills.ts';

const LONG = [
  'drills/ring-storm',
  'drills/t0',
  'engines/cassandra-faults',
  'engines/kafka-faults',
  'engines/network-cut',
  'engines/old-copies',
  'engines/privacy-crashes',
  'engines/real-input',
  'engines/services-apart',
];

/**
 * Contract suites, flows and drills on real servers, which are started for them. Of the flows those
 * that take and refuse to give back run there; the others are about what no engine changes.
 */
const FLOWS = ['grains', 'attack-doors', 'apps', 'dead-letters', 'lists'];

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
    exclude: leaveOut(LONG.map((name) => `test/${name}.test.ts`)),
    globalSetup: ['test/support/start-servers.ts'],
    testTimeout: 400_000,
    hookTimeout: 300_000,
    pool: 'forks',
    maxWorkers: 1,
  },
});
