/** `npm run bench`: the ratios that were promised, one JSON document with --json. */
import { benchErase } from './erase-bench.ts';
import { benchHoles } from './holes-bench.ts';
import { benchIngest } from './ingest-bench.ts';
import { benchPosts } from './post-bench.ts';
import { benchReading } from './read-bench.ts';
import { benchSealing } from './sealing-bench.ts';

const only = process.argv.find((argument) => argument.startsWith('--only='))?.slice(7);
const benches = {
  sealing: async () => benchSealing(),
  ingest: benchIngest,
  posts: benchPosts,
  reading: benchReading,
  erase: benchErase,
  holes: benchHoles,
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
