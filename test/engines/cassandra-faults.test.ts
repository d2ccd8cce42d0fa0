import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { readConfiguration } from '../../libs/configuration/configuration.ts';
import { openBackends } from '../../libs/wiring/open-backends.ts';
import { migrateEngines } from '../../libs/wiring/open-engines.ts';
import { runDoctor } from '../../services/operations/doctor.ts';
import { createPrivacy } from '../../services/privacy/doors/privacy.ts';
import { type CassandraServer, startCassandra } from '../servers/cassandra-server.ts';
import { startKafka } from '../servers/kafka-server.ts';
import { isRunning, type ServerProcess, stopProcesses } from '../servers/server-process.ts';
import { PERSONAL, received } from '../support/events.ts';
import { recordFigures } from '../support/figures.ts';
import { startLethe } from '../support/processes.ts';
import { defaultConversationOf, subjectOf, textsOf } from '../support/reading.ts';
import { openConfigured, storeVariables, type TestStore } from '../support/temporary-store.ts';

const NODES = 3;
const SERVICES = ['ingest', 'projector', 'reader', 'privacy'];
const END_MS_MAX = 15_000;
const LATE_MS = 12_000;
const folder = mkdtempSync(join(tmpdir(), 'lethe-cassandra-'));
const figures: Record<string, unknown> = {};
let server: CassandraServer;
let nodes: ServerProcess[];
let others: readonly ServerProcess[];
let variables: Record<string, string>;
let store: TestStore;

beforeAll(async () => {
  const kafka = await startKafka(folder, 1);
  others = kafka.processes;
  server = await startCassandra(folder, NODES);
  nodes = [...server.processes];
  const hosts = server.hosts.map((host) => `${host}:${server.port}`).join(',');
  const keyspace = (name: string) => `cassandra://${hosts}/${name}?dc=datacenter1&replication=3`;
  variables = {
    ...storeVariables(folder),
    LETHE_LOG: `kafka://${kafka.brokers[0]}?replication=1&partitions=4`,
    LETHE_VAULT: keyspace('vault'),
    LETHE_STATE: keyspace('state'),
    LETHE_VIEWS: keyspace('views'),
  };
  const configuration = readConfiguration(variables);
  await migrateEngines(configuration);
  store = await openConfigured(configuration, folder);
});

afterAll(async () => {
  await store?.ingest.close();
  await store?.backends.close();
  await stopProcesses([...nodes, ...others]);
  rmSync(folder, { recursive: true, force: true });
  recordFigures('Cassandra, three nodes', figures);
});

async function kill(node: number): Promise<void> {
  process.kill(nodes[node]!.pid, 'SIGKILL');
  while (isRunning(nodes[node]!)) await sleep(50);
}

async function restart(node: number, settings?: Readonly<Record<string, string>>): Promise<void> {
  nodes[node] = await server.restart(node, settings);
}

async function checkOfEngines() {
  const checks = await runDoctor(store, () => undefined);
  return checks.find(({ name }) => name === 'engines');
}

const words = (name: string) => received(name, `words of ${name}`, { conversation: PERSONAL });

/** What a process that knows nothing yet serves of a person's conversation. */
async function coldTexts(conversation: string) {
  const backends = await openBackends(store.configuration);
  try {
    return await textsOf({ ...store, backends }, conversation as never);
  } finally {
    await backends.close();
  }
}

/** Tries until it works; how long that took, and the codes that were told meanwhile. */
async function untilDone(work: () => Promise<unknown>, timeoutMs: number) {
  const began = performance.now();
  const codes = new Set<string>();
  for (;;) {
    try {
      await work();
      return { milliseconds: Math.round(performance.now() - began), codes: [...codes] };
    } catch (error) {
      const { code, retryable } = error as { code: string; retryable: boolean };
      expect(retryable, String(error)).toBe(true);
      codes.add(code);
      if (performance.now() - began > timeoutMs) throw error;
      await sleep(500);
    }
  }
}

describe('the store on three Cassandra nodes', () => {
  it('is migrated while one node is late to hear of it', async () => {
    const late = nodes[2]!.pid;
    process.kill(late, 'SIGSTOP');
    const wakes = sleep(LATE_MS).then(() => process.kill(late, 'SIGCONT'));
    const renamed = (name: string) => variables[name]!.replace(/\/(\w+)\?/, '/$1_late?');
    const names = ['LETHE_VAULT', 'LETHE_STATE', 'LETHE_VIEWS'];
    const second = Object.fromEntries(names.map((name) => [name, renamed(name)]));
    await Promise.all([migrateEngines(readConfiguration({ ...variables, ...second })), wakes]);
    const known = server.nodetool(0, 'describecluster').match(/[0-9a-f-]{36}: \[[^\]]*\]/g);
    expect(known).toEqual([expect.stringContaining('127.0.0.3')]);
  });

  it('goes on with one node dead, and serves nothing that was erased while a node was away', async () => {
    const first = words('ann');
    await store.deliver(first, words('ben'));
    const [ann, ben] = [
      await defaultConversationOf(store, 'ann'),
      await defaultConversationOf(store, 'ben'),
    ];
    await kill(2);
    const went = await untilDone(() => store.deliver(words('carl')), 30_000);
    const subject = await subjectOf(store, 'ann');
    const erased = await createPrivacy(store.backends.privacy()).eraseSubject(
      store.app.id,
      subject,
    );
    expect(erased.status).toBe('done');
    await restart(2);
    // Only the node that was away and one other are left: what they agree on is served.
    await kill(0);
    expect(await coldTexts(ann)).toEqual([null]);
    expect(await coldTexts(ben)).toEqual(['words of ben']);
    expect((await store.deliver(first))[0]!.status).toBe('erased');
    await restart(0);
    figures['one node dead'] = went;
  });

  it('refuses with an error that can be retried while two nodes are dead, and recovers by itself', async () => {
    await store.deliver(words('dora'));
    await Promise.all([kill(1), kill(2)]);
    const refusing = performance.now();
    await expect(store.deliver(words('emil'))).rejects.toMatchObject({ retryable: true });
    const refusedMs = Math.round(performance.now() - refusing);
    // Until the last one knows that it is alone, it says of itself that it was late.
    const why = () => store.deliver(words('emil')).catch(String);
    await expect.poll(why, { timeout: 60_000 }).toContain('too few of its nodes');
    await restart(1);
    await restart(2);
    const recovered = await untilDone(() => store.deliver(words('emil')), 60_000);
    const dora = await defaultConversationOf(store, 'dora');
    expect(await coldTexts(dora)).toEqual(['words of dora']);
    const emil = await defaultConversationOf(store, 'emil');
    expect(await coldTexts(emil)).toEqual(['words of emil']);
    figures['two nodes dead'] = { refusedMs, recovered };
  });

  it('is told by the doctor which node answers before a write is on its disk', async () => {
    expect(await checkOfEngines()).toMatchObject({ passed: true });
    await kill(1);
    await expect.poll(checkOfEngines, { timeout: 60_000, interval: 2_000 }).toMatchObject({
      passed: false,
      detail: expect.stringMatching(/node 127\.0\.0\.2:\d+ could not be asked/),
    });
    await restart(1, { commitlog_sync: 'periodic', commitlog_sync_period: '10000ms' });
    const told = 'node 127.0.0.2:\\d+ has commitlog_sync: periodic';
    await expect.poll(checkOfEngines, { timeout: 60_000, interval: 2_000 }).toMatchObject({
      passed: false,
      detail: expect.stringMatching(told),
    });
    expect((await checkOfEngines())?.detail).not.toMatch(/127\.0\.0\.[13]:/);
  });

  // The last one: it leaves no engine behind.
  it('lets every service end when it is told to, also while all engines are gone', async () => {
    const started = SERVICES.map((name) => startLethe(folder, ['serve', name], variables));
    await Promise.all(started.map((service) => service.printed('http://')));
    for (const { pid } of [...nodes, ...others]) process.kill(pid, 'SIGKILL');
    // Long enough for each to be in the middle of asking again.
    await sleep(5_000);
    const began = performance.now();
    for (const { child } of started) child.kill('SIGTERM');
    const ended = await Promise.all(
      started.map(async (service, i) => {
        const { code, err } = await service.ended;
        return [SERVICES[i]!, { code, err, ms: Math.round(performance.now() - began) }] as const;
      }),
    );
    figures['ended without engines'] = Object.fromEntries(ended);
    for (const [name, { code, err, ms }] of ended) {
      expect(code, `${name}: ${err}`).toBe(0);
      expect(ms, name).toBeLessThan(END_MS_MAX);
    }
  });
});
