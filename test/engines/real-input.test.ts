import { createHash } from 'node:crypto';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { gunzipSync } from 'node:zlib';
import { afterAll, describe, expect, it, onTestFinished } from 'vitest';
import type { AppId } from '../../libs/base/ids.ts';
import { decodeSealedEvent } from '../../libs/codec/sealed-event.ts';
import { readConfiguration } from '../../libs/configuration/configuration.ts';
import { type Backends, openBackends } from '../../libs/wiring/open-backends.ts';
import { removeEngines } from '../../libs/wiring/throwaway-engines.ts';
import { readMessages } from '../../services/reader/read-messages.ts';
import { recordFigures } from '../support/figures.ts';
import { lethe, startLethe } from '../support/processes.ts';
import { inputFiles } from '../support/real-input.ts';
import { embeddedVariables, storeVariables, temporaryFolder } from '../support/temporary-store.ts';

const LINES = 20_000;
const ROOMS = 12;
const PAGE = 1_000;

const figures: Record<string, unknown> = {};
afterAll(() => recordFigures('real input on the engines', figures));

function firstLines(folder: string): string[] {
  const [[file]] = inputFiles(folder) as [[string, number]];
  const bytes = readFileSync(file);
  const text = (file.endsWith('.gz') ? gunzipSync(bytes) : bytes).toString();
  return text.split('\n').slice(0, LINES);
}

/** What consumers see of the newest conversations, without the ids that differ by store. */
async function seen(backends: Backends, app: AppId): Promise<string[]> {
  const reader = backends.reader();
  const rooms: string[] = [];
  for (const { id: conversation } of await reader.views.inbox(app, { limit: ROOMS })) {
    const hash = createHash('sha256');
    for (let after = '00'; ; ) {
      const query = { conversation: conversation as never, page: { after, limit: PAGE } };
      const { messages, views } = await readMessages(reader, app, query);
      for (const { author, content, received } of messages) {
        hash.update(JSON.stringify([author?.displayName, content, received]));
      }
      if (views.length < PAGE) break;
      after = views.at(-1)!.position;
    }
    rooms.push(hash.digest('hex'));
  }
  return rooms.sort();
}

async function takeIn(variables: Record<string, string>, isApart: boolean, file: string) {
  const folder = temporaryFolder();
  const run = async (...args: string[]) => {
    const ended = await lethe(folder, args, variables);
    expect(ended.code, ended.err).toBe(0);
    return ended.json;
  };
  await run('migrate');
  const { app } = await run('apps', 'create', 'demo');
  // Embedded, the command brings the views up by itself.
  const projector = isApart
    ? startLethe(folder, ['serve', 'projector', '--json'], variables)
    : undefined;
  await projector?.printed('\n');
  const summary = await run('ingest', file, '--app', 'demo');
  projector?.child.kill('SIGTERM');
  await projector?.ended;
  const backends = await openBackends(readConfiguration(variables));
  onTestFinished(() => backends.close());
  return { summary, counts: await counts(backends), seen: await seen(backends, app.id) };
}

async function counts(backends: Backends): Promise<{ conversations: number; messages: number }> {
  const conversations = new Set<string>();
  let messages = 0;
  for await (const record of backends.reader().views.scanRecords()) {
    const { header } = decodeSealedEvent(record);
    if (header.type !== 'MessagePosted') continue;
    conversations.add(header.stream);
    messages += 1;
  }
  return { conversations: conversations.size, messages };
}

describe('the public chat channel', () => {
  it('through Kafka into Cassandra, by a projector of its own, is what it is on SQLite', async () => {
    const file = join(temporaryFolder(), 'lines.jsonl');
    writeFileSync(file, firstLines(temporaryFolder()).join('\n'));
    const onServers = storeVariables(temporaryFolder());
    onTestFinished(() => removeEngines(readConfiguration(onServers)));
    const servers = await takeIn(onServers, true, file);
    const embedded = await takeIn(embeddedVariables(temporaryFolder()), false, file);
    const { seconds, accepted } = servers.summary;
    figures.through = { accepted, seconds, onSqliteSeconds: embedded.summary.seconds };
    const { seconds: _, durableSeconds: __, ...counts } = embedded.summary;
    expect(servers.summary).toMatchObject(counts);
    expect(servers.counts).toEqual(embedded.counts);
    expect(servers.seen.length).toBeGreaterThan(3);
    expect(servers.seen).toEqual(embedded.seen);
  });
});
