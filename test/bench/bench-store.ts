/** Stores and inputs of the benchmarks. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { readConfiguration } from '../../libs/configuration/configuration.ts';
import { openBackends } from '../../libs/wiring/open-backends.ts';
import { createApp } from '../../services/operations/create-app.ts';
import { environmentOf } from '../support/processes.ts';

/** A new store with one app in a folder of its own. */
export async function newBenchStore() {
  const folder = mkdtempSync(join(tmpdir(), 'lethe-bench-'));
  const { PATH: _, ...variables } = environmentOf(folder);
  const configuration = readConfiguration(variables);
  const backends = await openBackends(configuration);
  const app = await createApp(backends.administration(), { name: 'demo' });
  const remove = async () => {
    await backends.close();
    rmSync(folder, { recursive: true, force: true });
  };
  return { folder, configuration, backends, app, remove };
}

const WORDS = 'the of and to in is you that it he was for on are as with his they at be'.split(' ');

/** Lines as a public chat channel has them: many rooms, many people, short texts. */
export function* chatLines(
  count: number,
  shape: { rooms: number; people: number; stepMs?: number },
) {
  const { stepMs = 1_000 } = shape;
  for (let i = 0; i < count; i += 1) {
    const words = Array.from({ length: 12 }, (_, w) => WORDS[(i * 7 + w * 13) % WORDS.length]);
    const room = Math.floor((i * shape.rooms) / count);
    // A room has about 130 people of its own, as the public chat channel's days have.
    const name = `person-${(room * 97 + ((i * 31) % 130)) % shape.people}`;
    yield JSON.stringify({
      specversion: '1.0',
      type: 'lethe.message.received',
      source: '/channels/chat/bench',
      id: `line-${i}`,
      time: new Date(1_650_000_000_000 + i * stepMs).toISOString(),
      data: {
        conversation: {
          type: 'sdkGroup',
          externalId: `room-${room}`,
        },
        author: {
          type: 'user',
          identity: { channel: 'chat', externalId: name },
          displayName: name,
        },
        content: { type: 'text', text: words.join(' ') },
      },
    });
  }
}
