/**
 * `npm run bench:engines`: the ratios on real servers, which are started for it unless TEST_ENGINES
 * names some. One JSON document with --json; --only=NAME runs one.
 */
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { startServers, stopServers } from '../../servers/server-set.ts';
import { benchLog } from './log-bench.ts';
import { benchPages } from './page-bench.ts';
import { benchProjectors } from './projector-bench.ts';
import { benchVisible } from './visible-bench.ts';

const only = process.argv.find((argument) => argument.startsWith('--only='))?.slice(7);
const benches = {
  log: benchLog,
  visible: benchVisible,
  projectors: benchProjectors,
  pages: benchPages,
};

const folder = join(tmpdir(), `lethe-bench-engines-${process.pid}`);
const given = process.env.TEST_ENGINES;
const servers: Readonly<Record<string, string>> =
  given === undefined ? (await startServers(folder, 1)).variables : JSON.parse(given);
for (const [name, value] of Object.entries(servers)) {
  if (name.startsWith('AWS_')) process.env[name] = value;
}
const isJson = process.argv.includes('--json');
const results: Record<string, unknown> = {};
try {
  for (const [name, run] of Object.entries(benches)) {
    if (only !== undefined && only !== name) continue;
    results[name] = await run(servers);
    if (!isJson) process.stdout.write(`${name} ${JSON.stringify(results[name], null, 2)}\n`);
  }
} finally {
  if (given === undefined) await stopServers(folder);
}
if (isJson) process.stdout.write(`${JSON.stringify(results)}\n`);
