/**
 * Run as a process of its own: erases somebody's ring and turns the epoch, again and again, while
 * it is let (SIGUSR1 begins, the next one stops after the turn under way). Prints how many at
 * SIGTERM.
 */
import { readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { randomId } from '../../libs/base/random.ts';
import { readConfiguration } from '../../libs/configuration/configuration.ts';
import { ringKinds } from '../../libs/sealing/tree-path.ts';
import { openBackends } from '../../libs/wiring/open-backends.ts';

const people = JSON.parse(readFileSync(process.argv[2]!, 'utf8')) as string[];
const variables = Object.entries(process.env).filter(([name]) => name.startsWith('LETHE_'));
const backends = await openBackends(readConfiguration(Object.fromEntries(variables)));
const { keyringShred, randomness, apps } = backends.privacy();
const app = (await apps.find('demo'))!;
let isLet = false;
let isOver = false;
let turns = 0;
process.on('SIGUSR1', () => {
  isLet = !isLet;
});
process.on('SIGTERM', () => {
  isOver = true;
});
process.stdout.write('ready\n');
while (!isOver) {
  if (!isLet || people.length === 0) {
    await sleep(20);
    continue;
  }
  const ref = { app: app.id, kind: ringKinds.owner, id: people.pop()! };
  await keyringShred.shred([ref], randomId(randomness));
  await backends.epoch().turn({ nowMs: () => Date.now() });
  turns += 1;
}
await backends.close();
process.stdout.write(`${turns}\n`);
