/**
 * Many clients that ask for one page again and again, in a process of their own: `node
 * busy-clients.ts URL AUTHORIZATION CLIENTS`. Tells its parent how many answers have come.
 */
import { Agent, get } from 'node:http';

const [url, authorization, clients] = process.argv.slice(2) as [string, string, string];
const agent = new Agent({ keepAlive: true, maxSockets: Number(clients) });
let answers = 0;

function ask(): Promise<void> {
  return new Promise((resolve) => {
    const asked = get(url, { agent, headers: { authorization } }, (answer) => {
      answer.resume().on('error', () => resolve());
      answer.on('end', () => {
        answers += 1;
        resolve();
      });
    });
    asked.on('error', () => resolve());
  });
}

async function askAgain(): Promise<never> {
  for (;;) await ask();
}

for (let i = 0; i < Number(clients); i += 1) void askAgain();
setInterval(() => process.send?.(answers), 200);
