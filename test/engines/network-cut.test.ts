import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { isLetheError } from '../../libs/base/lethe-error.ts';
import { readConfiguration } from '../../libs/configuration/configuration.ts';
import { readCloudEvent } from '../../libs/conversation/cloud-event.ts';
import { migrateEngines } from '../../libs/wiring/open-engines.ts';
import { removeEngines } from '../../libs/wiring/throwaway-engines.ts';
import { type KafkaServer, startKafka } from '../servers/kafka-server.ts';
import { stopProcesses } from '../servers/server-process.ts';
import { TcpProxy } from '../servers/tcp-proxy.ts';
import { PERSONAL, received } from '../support/events.ts';
import { recordFigures } from '../support/figures.ts';
import { defaultConversationOf, textsOf } from '../support/reading.ts';
import { openConfigured, storeVariables, type TestStore } from '../support/temporary-store.ts';

const NODES = 3;
const SENDERS = 6;
const CUT_MS = 20_000;
const START_MS = Date.parse('2025-03-01T12:00:00Z');

const folder = mkdtempSync(join(tmpdir(), 'lethe-cut-'));
let wires: TcpProxy[];
let server: KafkaServer;
let store: TestStore;

beforeAll(async () => {
  wires = await Promise.all(Array.from({ length: NODES }, () => TcpProxy.open()));
  const forwardedPorts = wires.map(({ port }) => port);
  server = await startKafka(folder, NODES, { forwardedPorts });
  for (const [i, wire] of wires.entries()) {
    wire.forwardTo({ host: '127.0.0.1', port: server.behind[i]! });
  }
  const brokers = forwardedPorts.map((port) => `127.0.0.1:${port}`).join(',');
  const configuration = readConfiguration({
    ...storeVariables(folder),
    LETHE_LOG: `kafka://${brokers}?prefix=cut&partitions=6&replication=3`,
  });
  await migrateEngines(configuration);
  store = await openConfigured(configuration, folder);
});

afterAll(async () => {
  await store?.ingest.close();
  await store?.backends.close();
  if (store !== undefined) await removeEngines(store.configuration);
  await Promise.all(wires.map((wire) => wire.close()));
  await stopProcesses(server.processes);
  rmSync(folder, { recursive: true, force: true });
});

/** Sends numbered messages of one person, each until it was taken in; what each sender was told. */
function startSenders() {
  const told = { accepted: 0, duplicate: 0, refused: 0, unexpected: 0 };
  let isOver = false;
  const sent = new Map<string, string[]>();
  const sender = async (name: string) => {
    const texts: string[] = [];
    sent.set(name, texts);
    for (let n = 1; !isOver; n += 1) {
      const text = `${name} says ${n}`;
      const time = new Date(START_MS + n * 1_000).toISOString();
      await send(received(name, text, { id: text, time, conversation: PERSONAL }));
      texts.push(text);
    }
  };
  const send = async (event: object): Promise<void> => {
    const read = readCloudEvent(event, Date.now());
    if ('problem' in read) throw new Error(read.problem.expected);
    for (;;) {
      try {
        const item = { kind: 'delivery' as const, delivery: read.value };
        const [outcome] = await store.ingest.accept(store.app.id, [item]);
        if (outcome?.status === 'accepted') told.accepted += 1;
        else if (outcome?.status === 'duplicate') told.duplicate += 1;
        else told.unexpected += 1;
        return;
      } catch (error) {
        if (!isLetheError(error) || !error.retryable) throw error;
        told.refused += 1;
        await sleep(200);
      }
    }
  };
  const running = Promise.all(Array.from({ length: SENDERS }, (_, i) => sender(`sender-${i}`)));
  return {
    told,
    sent,
    async stop() {
      isOver = true;
      await running;
    },
  };
}

describe('a network that is cut between ingest and all brokers for 20 s, under load', () => {
  it('costs time: every message that was taken in is in the views once, in the order it was sent', async () => {
    const senders = startSenders();
    await sleep(4_000);
    const before = senders.told.accepted;
    for (const wire of wires) wire.cut();
    await sleep(CUT_MS);
    const during = senders.told.accepted - before;
    for (const wire of wires) wire.restore();
    const from = performance.now();
    while (senders.told.accepted - before - during < SENDERS * 2) await sleep(50);
    const recoveredMs = Math.round(performance.now() - from);
    await sleep(3_000);
    await senders.stop();
    await store.project();
    for (const [name, texts] of senders.sent) {
      expect(await textsOf(store, await defaultConversationOf(store, name))).toEqual(texts);
    }
    expect(senders.told.unexpected).toBe(0);
    recordFigures('network cut for 20 s', { ...senders.told, before, during, recoveredMs });
  });
});
