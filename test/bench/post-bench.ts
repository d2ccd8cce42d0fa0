/** `POST` of one message, durable before it is answered, against the real server. */

import { newBenchFolder, runLethe, startBenchServer } from './bench-server.ts';
import { runLoad } from './http-load.ts';

const CLIENTS = 8;
const COUNT = 20_000;
const PACED_COUNT = 6_000;

/** Eight clients on one conversation and on eight, and p99 at half the rate. */
export async function benchPosts() {
  const { folder, remove } = newBenchFolder();
  try {
    await runLethe(folder, ['apps', 'create', 'demo']);
    const server = await startBenchServer(folder);
    const { address, authorization, appPath } = server;
    const conversations: string[] = [];
    for (let i = 0; i < CLIENTS; i += 1) {
      const made = await fetch(`${address}${appPath}/conversations`, {
        method: 'POST',
        headers: { authorization, 'content-type': 'application/json' },
        body: JSON.stringify({ type: 'sdkGroup', displayName: `room ${i}` }),
      });
      const { conversation } = (await made.json()) as { conversation: { id: string } };
      conversations.push(conversation.id);
    }
    const body = JSON.stringify({
      author: { type: 'business', displayName: 'Desk' },
      content: { type: 'text', text: 'x'.repeat(200) },
    });
    const load = (rooms: number, count: number, perSecond?: number) =>
      runLoad({
        address,
        authorization,
        clients: CLIENTS,
        count,
        ...(perSecond !== undefined && { perSecond }),
        next: (i) => {
          const id = conversations[i % rooms]!;
          return { method: 'POST', path: `${appPath}/conversations/${id}/messages`, body };
        },
      });
    await load(1, 4_000);
    const one = await load(1, COUNT);
    const eight = await load(CLIENTS, COUNT);
    const half = await load(CLIENTS, PACED_COUNT, Math.round(eight.perSecond / 2));
    await server.stop();
    return { one, eight, atHalfRate: half };
  } finally {
    remove();
  }
}
