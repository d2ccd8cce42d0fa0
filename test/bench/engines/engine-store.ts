/** Stores of the benchmarks on real servers, under names of their own. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { readConfiguration } from '../../../libs/configuration/configuration.ts';
import { readCloudEvent } from '../../../libs/conversation/cloud-event.ts';
import { openBackends } from '../../../libs/wiring/open-backends.ts';
import { migrateEngines } from '../../../libs/wiring/open-engines.ts';
import { removeEngines, throwawayVariables } from '../../../libs/wiring/throwaway-engines.ts';
import type { IngestItem } from '../../../services/ingest/plan/ingest-item.ts';
import { createApp } from '../../../services/operations/create-app.ts';
import { embeddedVariables } from '../../support/temporary-store.ts';
import { chatLines } from '../bench-store.ts';

/** A new store with one app on the servers that these variables name. */
export async function newEngineStore(servers: Readonly<Record<string, string>>) {
  const folder = mkdtempSync(join(tmpdir(), 'lethe-bench-'));
  const name = `b${folder.split('-').at(-1)!.toLowerCase()}`;
  const variables = { ...embeddedVariables(folder), ...throwawayVariables(servers, name) };
  const configuration = readConfiguration(variables);
  await migrateEngines(configuration);
  const backends = await openBackends(configuration);
  const app = await createApp(backends.administration(), { name: 'demo' });
  const remove = async () => {
    await backends.close();
    await removeEngines(configuration);
    rmSync(folder, { recursive: true, force: true });
  };
  return { folder, variables, configuration, backends, app, remove };
}

/** Chat lines as ingest takes them; those of another name are other deliveries. */
export function chatItems(
  name: string,
  count: number,
  shape: Parameters<typeof chatLines>[1],
): IngestItem[] {
  return [...chatLines(count, shape)].map((line) => {
    const event = JSON.parse(line);
    const read = readCloudEvent({ ...event, id: `${event.id} ${name}` }, Date.now());
    if ('problem' in read) throw new Error(read.problem.expected);
    return { kind: 'delivery', delivery: read.value };
  });
}

export type EngineStore = Awaited<ReturnType<typeof newEngineStore>>;
