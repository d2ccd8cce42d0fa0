/**
 * Run as a process of its own: erases people one after another and prints, for each, when T0 was
 * by the system's monotonic clock, how long the command took, and how holders were passed.
 */
import { readFileSync } from 'node:fs';
import { setImmediate } from 'node:timers/promises';
import { readConfiguration } from '../../libs/configuration/configuration.ts';
import { openBackends } from '../../libs/wiring/open-backends.ts';
import { createPrivacy } from '../../services/privacy/doors/privacy.ts';
import { readMessages } from '../../services/reader/read-messages.ts';
import { startServer } from '../../services/server/serve.ts';
import { stoppingFeed } from './odd-feed.ts';

const [appName, victimsFile, from, to] = process.argv.slice(2);
const victims = JSON.parse(readFileSync(victimsFile!, 'utf8')) as {
  subject: string;
  conversation: string;
}[];
const variables = Object.entries(process.env).filter(([name]) => name.startsWith('LETHE_'));
const configuration = readConfiguration(Object.fromEntries(variables));
const backends = await openBackends(configuration, {
  overFeed: stoppingFeed,
});
const powers = backends.privacy();
const app = (await powers.apps.find(appName!))!;
// SERVE: all services in this process, and somebody who reads all the time.
const server = process.env.SERVE ? await startServer({ backends, configuration }) : undefined;
const reading = server && readWithoutPause();
for (const { subject, conversation } of victims.slice(Number(from), Number(to))) {
  const began = process.hrtime.bigint();
  let t0: bigint | undefined;
  const holders = {
    ...powers.holders,
    async passHolders() {
      const passed = await powers.holders.passHolders();
      t0 ??= process.hrtime.bigint();
      return passed;
    },
  };
  const outcome = await createPrivacy({ ...powers, holders }).eraseSubject(
    app.id,
    subject as never,
  );
  if (outcome.status !== 'done') throw new Error(outcome.status);
  const milliseconds = Number(t0! - began) / 1e6;
  const how = outcome.t0.holders.map((holder) => holder.how);
  process.stdout.write(`${JSON.stringify({ conversation, t0: String(t0), milliseconds, how })}\n`);
}
await reading?.stop();
await server?.stop();
await backends.close();

function readWithoutPause() {
  let isOver = false;
  const run = async () => {
    while (!isOver) {
      for (const { conversation } of victims) {
        const query = { conversation: conversation as never, page: { limit: 100 } };
        await readMessages(backends.reader(), app.id, query);
      }
      await setImmediate();
    }
  };
  const ended = run();
  return {
    stop() {
      isOver = true;
      return ended;
    },
  };
}
