/**
 * Pages of 100 messages over HTTP at random conversations and cursors: a store of the size of the
 * public chat channel against one of a hundredth, alternating; and how fast the large one starts.
 */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { newBenchFolder, runLethe, startBenchServer } from './bench-server.ts';
import { chatLines } from './bench-store.ts';
import { runLoad } from './http-load.ts';
import { median } from './statistics.ts';

const LARGE = 225_000;
const ROUNDS = 5;
const REQUESTS_EACH = 1_000;

interface Place {
  readonly conversation: string;
  readonly cursors: readonly string[];
}

async function makeServer(folder: string, count: number) {
  await runLethe(folder, ['apps', 'create', 'demo']);
  const file = join(folder, 'lines.jsonl');
  // As many lines a room in both, so that pages are as full in the one as in the other.
  const rooms = Math.max(2, Math.round(count / 1_257));
  const shape = { rooms, people: Math.max(130, Math.round(count / 12)) };
  writeFileSync(file, [...chatLines(count, shape)].join('\n'));
  const ingested = await runLethe(folder, ['ingest', file, '--app', 'demo']);
  const server = await startBenchServer(folder);
  return { ...server, ingested, places: await findPlaces(server) };
}

type Server = Awaited<ReturnType<typeof startBenchServer>>;

/** Conversations with some cursors inside each. */
async function findPlaces({ address, appPath, authorization }: Server): Promise<Place[]> {
  const get = async (path: string) => {
    const answer = await fetch(`${address}${appPath}${path}`, { headers: { authorization } });
    return (await answer.json()) as {
      conversations: { id: string }[];
      messages: { id: string }[];
      meta: { beforeCursor: string; hasMore: boolean };
    };
  };
  const { conversations } = await get('/conversations?page[size]=100');
  const places: Place[] = [];
  for (const { id } of conversations) {
    const cursors: string[] = [];
    let query = '';
    for (let page = 0; page < 10; page += 1) {
      const { messages, meta } = await get(`/conversations/${id}/messages${query}`);
      cursors.push(...messages.filter((_, i) => i % 25 === 24).map((one) => one.id));
      if (!meta.hasMore) break;
      query = `?page[before]=${meta.beforeCursor}`;
    }
    places.push({ conversation: id, cursors });
  }
  return places;
}

function readLoad(server: Awaited<ReturnType<typeof makeServer>>, seed: number) {
  const { address, authorization, appPath, places } = server;
  const next = (i: number) => {
    const { conversation, cursors } = places[(i * 7_919 + seed) % places.length]!;
    const cursor = cursors[(i * 104_729 + seed) % Math.max(1, cursors.length)];
    const query = cursor === undefined ? '' : `?page[before]=${cursor}`;
    return { method: 'GET', path: `${appPath}/conversations/${conversation}/messages${query}` };
  };
  return runLoad({ address, authorization, clients: 2, count: REQUESTS_EACH, next });
}

/** p99 of both, their ratio, and the start of the large one. */
export async function benchReading() {
  const [large, small] = [newBenchFolder(), newBenchFolder()];
  try {
    const whole = await makeServer(large.folder, LARGE);
    const part = await makeServer(small.folder, LARGE / 100);
    await readLoad(whole, 1);
    await readLoad(part, 1);
    const p99 = { whole: [] as number[], part: [] as number[] };
    for (let round = 0; round < ROUNDS; round += 1) {
      p99.part.push((await readLoad(part, round)).p99Ms);
      p99.whole.push((await readLoad(whole, round)).p99Ms);
    }
    await whole.stop();
    await part.stop();
    return {
      p99WholeMs: median(p99.whole),
      p99PartMs: median(p99.part),
      wholeOfPart: median(p99.whole.map((ms, i) => ms / p99.part[i]!)),
      startOfWholeMs: whole.readyMs,
      ingestOfWhole: whole.ingested,
    };
  } finally {
    await large.remove();
    await small.remove();
  }
}
