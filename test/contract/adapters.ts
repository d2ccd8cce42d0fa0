/**
 * The adapters of every port, by technology. A new engine adds a line here and passes the same
 * suites; an adapter that cannot be reached fails its suite, it is never skipped.
 */
import { join } from 'node:path';
import { openAccessKeyStoreSqlite } from '../../libs/access/access-key-store-sqlite.ts';
import { openCertificatesFile } from '../../libs/audit/certificates-file.ts';
import { createSystemRandomness } from '../../libs/base/random.ts';
import { SqliteDatabase } from '../../libs/base/sqlite-database.ts';
import { openDeliveryStoreSqlite } from '../../libs/deliveries/delivery-store-sqlite.ts';
import { openClockMarkSqlite } from '../../libs/event-log/clock-mark-sqlite.ts';
import { openEventLogSqlite } from '../../libs/event-log/event-log-sqlite.ts';
import { createWakeSignal } from '../../libs/event-log/wake-signal.ts';
import { openErasureListFile } from '../../libs/requests/erasure-list-file.ts';
import { openRequestStoreSqlite } from '../../libs/requests/request-store-sqlite.ts';
import { openFeedStoreSqlite } from '../../libs/vault/feed-store-sqlite.ts';
import { openRootKmsLocal } from '../../libs/vault/root-kms-local.ts';
import { openTurnStoreSqlite } from '../../libs/vault/turn-store-sqlite.ts';
import { openVaultStoreSqlite } from '../../libs/vault/vault-store-sqlite.ts';
import { openViewStoreSqlite } from '../../libs/views/view-store-sqlite.ts';

/** Opens a port over the same storage as often as it is called, as another process would. */
type Opener<Port> = (folder: string) => Port;

const database = (folder: string) => {
  return new SqliteDatabase(join(folder, 'store.db'), 'STATE_UNREACHABLE');
};

function sqlite<Port>(open: (database: SqliteDatabase) => Port): [string, Opener<Port>][] {
  return [['sqlite', (folder) => open(database(folder))]];
}

export const adapters = {
  accessKeys: sqlite(openAccessKeyStoreSqlite),
  clockMark: sqlite(openClockMarkSqlite),
  deliveries: sqlite(openDeliveryStoreSqlite),
  eventLog: sqlite((one) => openEventLogSqlite(one, { wake: createWakeSignal(), partitions: 4 })),
  feed: sqlite(openFeedStoreSqlite),
  requests: sqlite(openRequestStoreSqlite),
  turns: sqlite(openTurnStoreSqlite),
  vault: sqlite(openVaultStoreSqlite),
  views: sqlite(openViewStoreSqlite),
  erasures: [
    ['file', (folder: string) => openErasureListFile(join(folder, 'list/erasures.jsonl'))],
  ] as const,
  certificates: [
    [
      'file',
      (folder: string) =>
        openCertificatesFile({ folder: join(folder, 'made'), keyFolder: join(folder, 'keys') }),
    ],
  ] as const,
  rootKms: [
    [
      'local',
      (folder: string) => {
        const randomness = createSystemRandomness();
        return openRootKmsLocal({ folder: join(folder, 'keys'), randomness });
      },
    ],
  ] as const,
};
