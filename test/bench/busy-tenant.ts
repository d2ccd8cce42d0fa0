/**
 * A tenant that sends events as fast as they are taken in, until it is killed. It says how many
 * were when it is asked. Run as: busy-tenant.ts URL AUTHORIZATION CLIENTS
 */
import { setPriority } from 'node:os';

// Its own work is done elsewhere in the world: here it must not take the processor from the server.
setPriority(19);
const [url, authorization, clients] = process.argv.slice(2) as [string, string, string];
const BATCH_EVENTS = 200;

let serial = 0;
let taken = 0;

/** Events of many rooms and people, as a channel with much to say delivers them. */
function batch(): string {
  const events = Array.from({ length: BATCH_EVENTS }, () => {
    serial += 1;
    const room = `room-${serial % 50}`;
    const identity = { channel: 'chat', externalId: `person-${serial % 500}` };
    return {
      specversion: '1.0',
      type: 'lethe.message.received',
      source: '/channels/chat/busy',
      id: `m-${serial}`,
      time: '2026-01-31T12:00:00Z',
      data: {
        conversation: { type: 'sdkGroup', externalId: room },
        author: { type: 'user', identity },
        content: { type: 'text', text: `message ${serial} ${'word '.repeat(20)}` },
      },
    };
  });
  return JSON.stringify(events);
}

async function press(): Promise<never> {
  const headers = { authorization, 'content-type': 'application/json' };
  for (;;) {
    const answer = await fetch(url, { method: 'POST', headers, body: batch() });
    await answer.json();
    if (answer.ok) taken += BATCH_EVENTS;
  }
}

process.on('message', () => process.send!(taken));
await Promise.all(Array.from({ length: Number(clients) }, press));
