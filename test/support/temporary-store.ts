/** A store in a folder of its own, on the embedded engines, that is removed after the test. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { onTestFinished } from 'vitest';
import type { Clock, HolderClocks } from '../../libs/base/clock.ts';
import type { AppId } from '../../libs/base/ids.ts';
import { type Configuration, readConfiguration } from '../../libs/configuration/configuration.ts';
import { readCloudEvent } from '../../libs/conversation/cloud-event.ts';
import { catchUp } from '../../libs/projection/project.ts';
import type { App } from '../../libs/vault/keys/app-registry.ts';
import { type Backends, openBackends } from '../../libs/wiring/open-backends.ts';
import { migrateEngines } from '../../libs/wiring/open-engines.ts';
import { removeEngines, throwawayVariables } from '../../libs/wiring/throwaway-engines.ts';
import { type Ingest, openIngest } from '../../services/ingest/ingest.ts';
import type { Outcome } from '../../services/ingest/plan/ingest-item.ts';
import { createApp } from '../../services/operations/create-app.ts';

/** A folder that is gone after the test. */
export function temporaryFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), 'lethe-test-'));
  onTestFinished(() => rmSync(folder, { recursive: true, force: true }));
  return folder;
}

/** The variables of a store in a folder, on the servers of this run of tests if there are any. */
export function storeVariables(folder: string): Record<string, string> {
  const name = `t${folder.split('-').at(-1)!.toLowerCase()}`;
  return { ...embeddedVariables(folder), ...throwawayVariables(engines, name) };
}

/** The variables of an embedded store in a folder. */
export function embeddedVariables(folder: string): Record<string, string> {
  return {
    LETHE_LOG: `sqlite:${folder}/data/lethe.db`,
    LETHE_STATE: `sqlite:${folder}/data/lethe.db`,
    LETHE_VIEWS: `sqlite:${folder}/data/views.db`,
    LETHE_VAULT: `sqlite:${folder}/data/vault.db`,
    LETHE_KMS: `local:${folder}/keys`,
    LETHE_BACKUPS: `${folder}/backups`,
    LETHE_CERTIFICATES: `${folder}/certificates`,
    LETHE_ERASURES: `${folder}/erasures`,
    LETHE_HTTP: '127.0.0.1:0',
    LETHE_LEASE_MS: '1000',
    LETHE_LOG_LEVEL: 'silent',
  };
}

/** Servers to put stores on, under names of their own; none: everything is embedded. */
const engines: Record<string, string> = JSON.parse(process.env.TEST_STORE_ENGINES ?? '{}');

/** An opened store with one app. */
export interface TestStore {
  readonly folder: string;
  readonly configuration: Configuration;
  readonly backends: Backends;
  readonly app: App;
  readonly ingest: Ingest;
  /** Delivers CloudEvents, and leaves it to others to project them. */
  accept(...events: object[]): Promise<Outcome[]>;
  /** Delivers CloudEvents and projects what came of them. */
  deliver(...events: object[]): Promise<Outcome[]>;
  /** Brings the views up to the log, on this thread. */
  project(): Promise<void>;
  /** Closes and opens the engines again, as a new process would. */
  reopen(): Promise<TestStore>;
}

/** Clocks of a store; of its leases too, for what waits long. */
interface StoreClocks {
  readonly clock?: Pick<Clock, 'nowMs'>;
  readonly holderClocks?: HolderClocks;
}

/** Opens a store in a new folder. */
export async function openTestStore(options: StoreClocks = {}): Promise<TestStore> {
  return openAt(await newStoreFolder(), options, undefined);
}

/** A folder for a store without apps yet; what lies of it on servers goes with the test. */
export async function newStoreFolder(): Promise<string> {
  const folder = temporaryFolder();
  const configuration = readConfiguration(storeVariables(folder));
  await migrateEngines(configuration);
  onTestFinished(() => removeEngines(configuration));
  return folder;
}

/** Opens the store that lies in a folder. */
export async function openAt(
  folder: string,
  options: StoreClocks,
  appId: AppId | undefined,
): Promise<TestStore> {
  const configuration = readConfiguration(storeVariables(folder));
  const store = await openConfigured(configuration, folder, options, appId);
  onTestFinished(() => store.backends.close());
  return store;
}

/** Events as ingest takes them in. */
export function itemsOf(events: readonly object[], nowMs = Date.now()) {
  return events.map((event) => {
    const read = readCloudEvent(event, nowMs);
    if ('problem' in read) throw new Error(`${read.problem.pointer}: ${read.problem.expected}`);
    return { kind: 'delivery' as const, delivery: read.value };
  });
}

/** Opens a store that whoever asked for it closes. */
export async function openConfigured(
  configuration: Configuration,
  folder: string,
  options: StoreClocks = {},
  appId?: AppId,
): Promise<TestStore> {
  const backends = await openBackends(configuration, options);
  const administration = backends.administration();
  const app =
    appId === undefined
      ? await createApp(administration, { name: 'demo', buckets: 16 })
      : (await administration.apps.find(appId))!;
  const ingest = await openIngest(backends.ingest());
  const store: TestStore = {
    folder,
    configuration,
    backends,
    app,
    ingest,
    accept(...events) {
      return ingest.accept(app.id, itemsOf(events, options.clock?.nowMs()));
    },
    async deliver(...events) {
      const outcomes = await store.accept(...events);
      await store.project();
      return outcomes;
    },
    project: () => catchUp(backends.projector()),
    async reopen() {
      await ingest.close();
      await backends.close();
      return openAt(folder, options, app.id);
    },
  };
  return store;
}
