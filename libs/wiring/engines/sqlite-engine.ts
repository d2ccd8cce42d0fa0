/** Everything in files of this machine: the embedded default. It needs no migration. */
import { openAccessKeyStoreSqlite } from '../../access/sqlite/access-key-store-sqlite.ts';
import { openDeliveryStoreSqlite } from '../../deliveries/sqlite/delivery-store-sqlite.ts';
import type { SqliteEngine } from '../../engines/engine-urls.ts';
import { openClockMarkSqlite } from '../../event-log/sqlite/clock-mark-sqlite.ts';
import { openEventLogSqlite } from '../../event-log/sqlite/event-log-sqlite.ts';
import { openRequestTableSqlite } from '../../requests/sqlite/request-table-sqlite.ts';
import { openVaultCopySqlite } from '../../vault/copy/sqlite/vault-copy-sqlite.ts';
import { openFeedStoreSqlite } from '../../vault/feed/sqlite/feed-store-sqlite.ts';
import { openVaultStoreSqlite } from '../../vault/rows/sqlite/vault-store-sqlite.ts';
import { openTurnTableSqlite } from '../../vault/turn/sqlite/turn-table-sqlite.ts';
import { openViewStoreSqlite } from '../../views/sqlite/view-store-sqlite.ts';
import type { Engine } from './engine.ts';

const nothing = async () => undefined;

export const sqliteEngine: Engine<SqliteEngine> = {
  async openLog({ file }, { connections, wake }) {
    const open = (user = 'main') => connections.open(user, file, 'LOG_UNREACHABLE');
    return { log: (user) => openEventLogSqlite(open(user), { wake }), close: nothing };
  },
  async openVault({ file }, { connections }) {
    const database = connections.open('main', file, 'VAULT_UNREACHABLE');
    const store = openVaultStoreSqlite(database);
    return {
      store,
      feed: openFeedStoreSqlite(database),
      turns: openTurnTableSqlite(database),
      copy: openVaultCopySqlite(database, store),
      close: nothing,
    };
  },
  async openState({ file }, { connections }) {
    const database = connections.open('main', file, 'STATE_UNREACHABLE');
    return {
      deliveries: openDeliveryStoreSqlite(database),
      requests: openRequestTableSqlite(database),
      clockMark: openClockMarkSqlite(database),
      accessKeys: openAccessKeyStoreSqlite(database),
      close: nothing,
    };
  },
  async openViews({ file }, { connections }) {
    const open = (user = 'main') => connections.open(user, file, 'VIEWS_UNREACHABLE');
    return { views: (user) => openViewStoreSqlite(open(user)), close: nothing };
  },
};
