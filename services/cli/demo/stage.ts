/** Where the demo plays: a store in a folder of its own, read and written through the services. */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { ConversationId, SubjectId } from '../../../libs/base/ids.ts';
import { readConfiguration } from '../../../libs/configuration/configuration.ts';
import type { App } from '../../../libs/vault/keys/app-registry.ts';
import type { OpenStore } from '../../../libs/wiring/open-backends.ts';
import { type Backends, openBackends } from '../../../libs/wiring/open-backends.ts';
import { migrateEngines } from '../../../libs/wiring/open-engines.ts';
import { removeEngines, throwawayVariables } from '../../../libs/wiring/throwaway-engines.ts';
import { copyData, VAULT_COPY } from '../../operations/copy-data.ts';
import { createApp } from '../../operations/create-app.ts';
import { filesBelow, searchFiles } from '../../operations/disk-search.ts';
import { type IngestSummary, ingestFiles } from '../../operations/ingest-files.ts';
import { copyOutServers, isOnServers } from '../../operations/server-copies.ts';
import { turnEpoch } from '../../operations/turn-epoch.ts';
import { type MessageJson, readMessages } from '../../reader/read-messages.ts';
import type { Sample, SampleEvent } from './sample.ts';

const MESSAGES_MAX = 10_000;

export interface Stage {
  readonly folder: string;
  readonly app: App;
  readonly backends: Backends;
  /** Takes events in from a file, as `lethe ingest` does. */
  ingest(events: readonly SampleEvent[]): Promise<IngestSummary>;
  group(): Promise<ConversationId>;
  person(): Promise<SubjectId | undefined>;
  messages(): Promise<MessageJson[]>;
  /** Searches all there is of the store for texts, and tells how to call what was searched. */
  search(texts: readonly string[]): Promise<{ files: number; hits: number; called: string }>;
  /** Copies the vault's files aside, as a backup would. */
  copyVault(): Promise<void>;
  /** The group's messages as the copied vault opens them, with today's keys, log and views. */
  messagesByCopy(): Promise<MessageJson[]>;
  /** Ends the epoch of the KMS key, with a tested backup. */
  turn(): Promise<{ buckets: number; rows: number }>;
  close(): Promise<void>;
}

/** Engines that the environment names are played on under a name of the demo's own. */
function variables(folder: string, engines: Record<string, string>): Record<string, string> {
  return {
    LETHE_LOG: `sqlite:${folder}/data/lethe.db`,
    LETHE_STATE: `sqlite:${folder}/data/lethe.db`,
    LETHE_VIEWS: `sqlite:${folder}/data/views.db`,
    LETHE_VAULT: `sqlite:${folder}/data/vault.db`,
    LETHE_KMS: `local:${folder}/keys`,
    LETHE_BACKUPS: `${folder}/backups`,
    LETHE_CERTIFICATES: `${folder}/certificates`,
    LETHE_ERASURES: `${folder}/erasures`,
    ...engines,
  };
}

/** Sets the stage; `close` takes it down and leaves nothing behind. */
export async function openStage(sample: Sample): Promise<Stage> {
  const folder = mkdtempSync(join(tmpdir(), 'lethe-demo-'));
  const remove = () => rmSync(folder, { recursive: true, force: true });
  process.once('exit', remove);
  const copyFolder = join(folder, 'old-vault-copy');
  const name = `demo${folder.split('-').at(-1)!.toLowerCase()}`;
  const engines = throwawayVariables(process.env, name);
  const configuration = readConfiguration(variables(folder, engines));
  await migrateEngines(configuration);
  const backends = await openBackends(configuration);
  const app = await createApp(backends.administration(), { name: 'demo' });
  const store: OpenStore = { configuration, backends };
  let files = 0;

  async function readWith(from: Backends): Promise<MessageJson[]> {
    const page = { after: '00', limit: MESSAGES_MAX };
    const query = { conversation: await group(), page };
    return (await readMessages(from.reader(), app.id, query)).messages;
  }

  async function group(): Promise<ConversationId> {
    const { directory } = backends.reader();
    const [found] = await directory.findConversations(app.id, [{ ...sample.group, person: null }]);
    return found!;
  }

  return {
    folder,
    app,
    backends,
    group,
    async ingest(events) {
      files += 1;
      // The channel's own file; it is deleted again, since the search looks at what Lethe keeps.
      const file = join(folder, `delivery-${files}.jsonl`);
      writeFileSync(file, events.map((event) => JSON.stringify(event)).join('\n'));
      const report = join(folder, 'rejected.jsonl');
      const settings = { app: app.id, wait: true, report };
      const summary = await ingestFiles(store, [file], settings);
      rmSync(file);
      return summary;
    },
    person: async () => {
      return (await backends.reader().directory.findSubjects(app.id, [sample.person]))[0];
    },
    messages: () => readWith(backends),
    search: (texts) => searchAll(store, folder, texts),
    async copyVault() {
      mkdirSync(copyFolder);
      await copyData(store, copyFolder);
    },
    async messagesByCopy() {
      const vault = { engine: 'sqlite' as const, file: join(copyFolder, VAULT_COPY) };
      const old = await openBackends({ ...configuration, vault });
      try {
        return await readWith(old);
      } finally {
        await old.close();
      }
    },
    turn: async () => (await turnEpoch(store)).turn,
    async close() {
      const { kmsKey } = await backends.epoch().status();
      await backends.close();
      await removeEngines(configuration, kmsKey);
      remove();
      process.off('exit', remove);
    },
  };
}

async function searchAll(store: OpenStore, folder: string, texts: readonly string[]) {
  const copies = join(folder, 'server-copies');
  mkdirSync(copies);
  if (isOnServers(store)) await copyOutServers(store, copies);
  const searched = filesBelow(folder);
  const hits = searchFiles(searched, texts).length;
  rmSync(copies, { recursive: true });
  const called = isOnServers(store)
    ? 'files, with all records and rows that the servers hold,'
    : 'files of the store';
  return { files: searched.length, hits, called };
}
