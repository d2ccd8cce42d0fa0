/**
 * Run as a process of its own: reads the conversations of victims without pause (or READ_PAUSE_MS
 * between two), and remembers by the system's monotonic clock when it last handed on a plaintext of
 * each. Prints that at SIGTERM.
 */
import { readFileSync } from 'node:fs';
import { setTimeout as sleep, setImmediate as turn } from 'node:timers/promises';
import { isLetheError } from '../../libs/base/lethe-error.ts';
import { readConfiguration } from '../../libs/configuration/configuration.ts';
import { noteUse } from '../../libs/keyring/noted-use.ts';
import { openBackends } from '../../libs/wiring/open-backends.ts';
import { readMessages } from '../../services/reader/read-messages.ts';
import { cutOffFeed } from './odd-feed.ts';
import { skewedClocks } from './skewed-clocks.ts';

const [appName, victimsFile] = process.argv.slice(2);
const victims = JSON.parse(readFileSync(victimsFile!, 'utf8')) as { conversation: string }[];
const variables = Object.entries(process.env).filter(([name]) => name.startsWith('LETHE_'));
const backends = await openBackends(readConfiguration(Object.fromEntries(variables)), {
  holderClocks: skewedClocks(),
  overFeed: cutOffFeed,
});
const powers = backends.reader();
const app = (await powers.apps.find(appName!))!;
const last = new Map<string, string>();
// On servers that share this machine's cores with everybody, readers leave them some.
const pauseMs = Number(process.env.READ_PAUSE_MS ?? 0);
let handed = 0;
let refused = 0;
let servedAt = 0n;
let stopping = false;
process.on('SIGTERM', () => {
  stopping = true;
});
process.stdout.write('ready\n');
while (!stopping) {
  for (const { conversation } of victims) {
    try {
      const noted = noteUse(powers);
      const { keyring, sealer } = noted;
      const query = { conversation: conversation as never, page: { limit: 100 } };
      const { messages } = await readMessages({ ...powers, keyring, sealer }, app.id, query);
      const isPlain = messages.some((message) => !message.deleted);
      if (isPlain && powers.keyring.vouches(noted.usedRings())) {
        last.set(conversation, String(process.hrtime.bigint()));
        handed += 1;
      }
      servedAt = process.hrtime.bigint();
    } catch (error) {
      // Without a lease, or in the middle of a change: a door answers 503.
      if (!isLetheError(error) || !error.retryable) throw error;
      refused += 1;
    }
    if (pauseMs > 0) await sleep(pauseMs);
  }
  await turn();
}
const report = { last: Object.fromEntries(last), handed, refused, servedAt: String(servedAt) };
process.stdout.write(`${JSON.stringify(report)}\n`);
await backends.close();
