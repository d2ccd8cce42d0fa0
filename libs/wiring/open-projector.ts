/** Opens what the projector needs, and nothing of the vault. */

import type { Configuration } from '../configuration/configuration.ts';
import { SqliteDatabase } from '../engines/sqlite-database.ts';
import { withCodes } from '../event-log/record-codes.ts';
import type { WakeSignal } from '../event-log/wake-signal.ts';
import { openConnections } from './connections.ts';
import { openLog, openViews } from './open-engines.ts';
import type { ProjectorPowers } from './powers.ts';
import { codesToldTo } from './record-key-telling.ts';
import { assertLogThere } from './store-place.ts';

/** What the projector is told: nothing of the vault, nor of what opens it. */
export type ProjectorConfiguration = Pick<Configuration, 'log' | 'views'>;

/**
 * The projector's part alone: it opens no vault and no key folder, and makes no store: without a
 * log, INPUT_INVALID is thrown (retryable).
 */
export async function openProjectorBackends(
  configuration: ProjectorConfiguration,
  wake: WakeSignal,
): Promise<ProjectorPowers & { close(): Promise<void> }> {
  assertLogThere(configuration);
  const connections = openConnections();
  if (configuration.log.engine === 'sqlite') {
    const { file } = configuration.log;
    // On the log the projector writes checkpoints and references to what it cannot read. What is
    // lost of them with the machine comes again with the records, and an fsync for each would keep
    // ingest from its own.
    const database = new SqliteDatabase(file, 'LOG_UNREACHABLE', { fsync: false });
    connections.adopt('main', file, database);
  }
  const use = { wake, connections };
  const closing: { close(): Promise<void> }[] = [];
  async function close() {
    await Promise.all(closing.map((one) => one.close()));
    connections.close();
  }
  try {
    const logs = await openLog(configuration, use);
    closing.push(logs);
    const opened = await openViews(configuration, use);
    closing.push(opened);
    const views = opened.views();
    return { log: withCodes(logs.log(), codesToldTo(views)), views, close };
  } catch (error) {
    await close();
    throw error;
  }
}
