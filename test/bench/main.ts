/** `npm run bench`: the ratios that were promised, one JSON document with --json. */
import { benchBulk, benchKms } from './bulk-bench.ts';
import { benchErase } from './erase-bench.ts';
import { benchHoles } from './holes-bench.ts';
import { benchIngest } from './ingest-bench.ts';
import { benchPosts } from './post-bench.ts';
import { benchReading } from './read-bench.ts';
import { benchSealing } from './sealing-bench.ts';
import { benchTenants } from './tenant-bench.ts';
import { benchTurns } from './turn-bench.ts';

const only = process.argv.find((argument) => argument.startsWith('--only='))?.slice(7);
const benches = {
  sealing: async () => benchSealing(),
  ingest: benchIngest,
  posts: benchPosts,
  reading: benchReading,
  tenants: benchTenants,
  erase: benchErase,
  holes: benchHoles,
  turns: benchTurns,
  bulk: benchBulk,
  kms: benchKms,
};

const results: Record<string, unknown> = {};
for (const [name, run] of Object.entries(benches)) {
  if (only !== undefined && only !== name) continue;
  results[name] = await run();
  if (!process.argv.includes('--json')) {
    process.stdout.write(`${name} ${JSON.stringify(results[name], null, 2)}\n`);
  }
}
if (process.argv.includes('--json')) process.stdout.write(`${JSON.stringify(results)}\n`);
