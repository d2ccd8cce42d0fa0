import { cpSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { readConfiguration } from '../../libs/configuration/configuration.ts';
import { CassandraDatabase } from '../../libs/engines/cassandra-database.ts';
import { readCassandraUrl } from '../../libs/engines/engine-urls.ts';
import { openBackends } from '../../libs/wiring/open-backends.ts';
import { migrateEngines } from '../../libs/wiring/open-engines.ts';
import { removeEngines } from '../../libs/wiring/throwaway-engines.ts';
import { findBackups } from '../../services/operations/backup.ts';
import { createPrivacy } from '../../services/privacy/doors/privacy.ts';
import { type KafkaServer, startKafka } from '../servers/kafka-server.ts';
import { type ServerProcess, stopProcesses } from '../servers/server-process.ts';
import { PERSONAL, received } from '../support/events.ts';
import { lethe } from '../support/processes.ts';
import { defaultConversationOf, groupOf, subjectOf, textsOf } from '../support/reading.ts';
import { openConfigured, storeVariables } from '../support/temporary-store.ts';

const NAMES = ['ann', 'ben', 'carl'];
const PARTITIONS = 4;

const folder = mkdtempSync(join(tmpdir(), 'lethe-restore-'));
let kafka: KafkaServer;
let broker: ServerProcess;
let variables: Record<string, string>;

beforeAll(async () => {
  kafka = await startKafka(folder, 1);
  [broker] = kafka.processes as [ServerProcess];
  const settings = `prefix=restored&partitions=${PARTITIONS}&replication=1`;
  variables = { ...storeVariables(folder), LETHE_LOG: `kafka://${kafka.brokers[0]}?${settings}` };
  await migrateEngines(readConfiguration(variables));
});

afterAll(async () => {
  await removeEngines({
    ...readConfiguration(variables),
    log: { engine: 'sqlite', file: join(folder, 'none') },
  });
  await stopProcesses([broker]);
  rmSync(folder, { recursive: true, force: true });
});

const words = (name: string) =>
  received(name, `words of ${name}`, { id: name, conversation: PERSONAL });

const inGroup = (name: string) => [received(name, `${name} in the group`, { id: `${name} group` })];

/** What is lost when a data centre is: the keyspaces are gone. */
async function dropKeyspaces(): Promise<void> {
  for (const name of ['LETHE_VAULT', 'LETHE_STATE', 'LETHE_VIEWS'] as const) {
    const engine = readCassandraUrl(variables[name]!)!;
    const cluster = { ...engine, keyspace: 'system' };
    const database = new CassandraDatabase(cluster, 'STATE_UNREACHABLE', 'quorum');
    await database.define(`DROP KEYSPACE ${engine.keyspace}`);
    await database.close();
  }
}

/** The broker's folder goes and comes back from a copy, as from a snapshot of its disk. */
async function loseAndBringBackLog(): Promise<void> {
  const data = join(folder, 'kafka-1/data');
  await stopProcesses([broker]);
  cpSync(data, join(folder, 'snapshot'), { recursive: true });
  rmSync(data, { recursive: true });
  cpSync(join(folder, 'snapshot'), data, { recursive: true });
  broker = await kafka.restart(0);
}

describe('a backup of a store on Kafka and Cassandra', () => {
  it('brings everybody back but those who were erased since, when the keyspaces are lost', async () => {
    const backups = join(folder, 'backups');
    const store = await openConfigured(readConfiguration(variables), folder);
    const { id: key } = await store.backends
      .administration()
      .accessKeys.create({ app: store.app.id, scope: 'app', nowMs: Date.now() });
    await store.deliver(...NAMES.map(words), ...inGroup('ann'));
    const group = await groupOf(store);
    const of = async (name: string) => defaultConversationOf(store, name);
    const conversations = await Promise.all(NAMES.map(of));
    await store.ingest.close();
    await store.backends.close();
    const made = await lethe(folder, ['backup', backups], variables);
    expect(made.code, made.err).toBe(0);
    expect(findBackups(backups)).toHaveLength(1);

    const later = await openConfigured(readConfiguration(variables), folder, {}, store.app.id);
    const ben = await subjectOf(later, 'ben');
    await createPrivacy(later.backends.privacy()).eraseSubject(later.app.id, ben);
    // Somebody who was not known yet when the backup was made.
    await later.accept(words('dora'), ...inGroup('dora'));
    await later.ingest.close();
    await later.backends.close();

    const early = await lethe(folder, ['restore', backups, '--erasures-may-end-early'], variables);
    expect(early.code).not.toBe(0);
    expect(early.err).toContain('drop it first');
    await loseAndBringBackLog();
    await dropKeyspaces();
    // Without the vault nothing starts, and nothing makes a new one beside the log.
    expect((await lethe(folder, ['migrate'], variables)).code).toBe(0);
    const refused = await lethe(folder, ['apps', 'list'], variables);
    expect(refused.err).toContain('LETHE_VAULT');
    // Her keys are lost: that is said before anything is done.
    const asked = await lethe(folder, ['restore', backups, '--erasures-may-end-early'], variables);
    expect(asked.code).not.toBe(0);
    expect(asked.err).toContain('--remove-newer');
    const restored = await lethe(
      folder,
      ['restore', backups, '--erasures-may-end-early', '--remove-newer'],
      variables,
    );
    expect(restored.code, restored.err).toBe(0);
    expect(restored.json).toMatchObject({ applied: 1 });
    expect(restored.json.removed).toBeGreaterThan(0);

    const configuration = readConfiguration(variables);
    const backends = await openBackends(configuration);
    try {
      const found = { ...store, backends };
      expect(await textsOf(found, conversations[0]!)).toEqual(['words of ann']);
      expect(await textsOf(found, conversations[2]!)).toEqual(['words of carl']);
      // Hers that nothing opens is gone from the group, though Kafka has not compacted yet.
      expect(await textsOf(found, group)).toEqual(['ann in the group']);
      await expect(subjectOf(found, 'ben')).rejects.toThrow();
      expect(await backends.vaultCheck()).toMatchObject({ tampered: 0, missing: 0 });
      const keys = backends.administration().accessKeyStore;
      expect((await keys.find(key))?.id).toBe(key);
    } finally {
      await backends.close();
    }
    // Who sends again what was there is told so, and what was erased does not come back.
    const again = await openConfigured(configuration, folder, {}, store.app.id);
    const sent = [...[...NAMES, 'dora'].map(words), ...inGroup('dora')];
    const outcomes = await again.deliver(...sent);
    const told = ['duplicate', 'erased', 'duplicate', 'accepted', 'accepted'];
    expect(outcomes.map(({ status }) => status)).toEqual(told);
    const hers = await defaultConversationOf(again, 'dora');
    expect(await textsOf(again, hers)).toEqual(['words of dora']);
    expect(await textsOf(again, group)).toEqual(['ann in the group', 'dora in the group']);
    await again.ingest.close();
    await again.backends.close();
  });
});
