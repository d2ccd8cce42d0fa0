import { describe, expect, it } from 'vitest';
import type { SqliteDatabase } from '../../../../libs/engines/sqlite-database.ts';
import type { FeedStore } from '../../../../libs/vault/feed/feed-store.ts';
import { LEASE_MARGIN_MS } from '../../../../libs/vault/feed/feed-wait.ts';
import { LEASE_MS_MAX } from '../../../../libs/vault/feed/roster.ts';
import {
  fakeClocks,
  type Holder,
  id,
  LEASE_MS,
  openHolder,
  openLosses,
  openTables,
  passedAfter,
  ROWS,
  rosterOf,
  sign,
} from '../../../support/feed.ts';

const TABLES = ['feed_entries', 'feed_acknowledgements', 'feed_roster'] as const;
type Table = (typeof TABLES)[number];
/** Rows as somebody has copied them, to write them back. */
type Copied = Record<Table, Record<string, never>[]>;

function copyTables(database: SqliteDatabase): Copied {
  const rows = (table: Table) => database.all<Record<string, never>>(`SELECT * FROM ${table}`);
  return Object.fromEntries(TABLES.map((table) => [table, rows(table)])) as Copied;
}

function writeBack(database: SqliteDatabase, copied: Copied, tables: readonly Table[]): void {
  for (const table of tables) {
    database.run(`DELETE FROM ${table}`);
    for (const row of copied[table]) {
      const names = Object.keys(row).join(', ');
      const places = Object.keys(row).map(() => '?');
      const sql = `INSERT INTO ${table} (${names}) VALUES (${places.join(', ')})`;
      database.run(sql, ...Object.values(row));
    }
  }
}

/** What somebody who can write the tables does, with what they copied before anybody came. */
interface Attack {
  readonly name: string;
  /** After holders have registered, before the loss is entered. */
  readonly before?: (database: SqliteDatabase, copied: Copied) => void;
  /** As soon as it is entered. */
  readonly after?: (database: SqliteDatabase, copied: Copied) => void;
}

const run = (sql: string) => (database: SqliteDatabase) => void database.run(sql);
const editRoster = (from: RegExp, to: string) => (database: SqliteDatabase) => {
  const { text } = database.get<{ text: string }>('SELECT text FROM feed_roster')!;
  expect(text).toMatch(from);
  database.run('UPDATE feed_roster SET text = ?', text.replaceAll(from, to));
};

const attacks: readonly Attack[] = [
  { name: 'removes the rows of holders', before: run('DELETE FROM feed_acknowledgements') },
  { name: 'removes the roster', before: run('DELETE FROM feed_roster') },
  {
    name: 'removes rows and roster',
    before(database) {
      for (const table of TABLES) database.run(`DELETE FROM ${table}`);
    },
  },
  {
    name: 'raises what was acknowledged',
    after: run('UPDATE feed_acknowledgements SET acknowledged = 1000'),
  },
  {
    name: 'gives an acknowledgement the code of the entry',
    after: run(`UPDATE feed_acknowledgements SET acknowledged = e.number, entry_code = e.code
      FROM (SELECT number, code FROM feed_entries ORDER BY number DESC LIMIT 1) AS e`),
  },
  { name: 'shortens leases', before: editRoster(/"leaseMs":\d+/g, '"leaseMs":1') },
  { name: 'strikes holders off', before: editRoster(/"struckAtMs":null/g, '"struckAtMs":1') },
  {
    name: 'takes holders off the roster',
    before: editRoster(/"holders":\{.*\}\}/g, '"holders":{}}'),
  },
  {
    name: 'writes back the roster of before they came',
    before: (database, copied) => writeBack(database, copied, ['feed_roster']),
  },
  { name: 'changes what the entry took', after: run(`UPDATE feed_entries SET rows = x''`) },
  {
    name: 'makes the entry another erasure',
    after: run(`UPDATE feed_entries SET erasure = x'00'`),
  },
  { name: 'removes every entry before', before: run('DELETE FROM feed_entries') },
  { name: 'removes the entry', after: run('DELETE FROM feed_entries') },
  {
    name: 'writes back the entries of before',
    after: (database, copied) => writeBack(database, copied, ['feed_entries']),
  },
  {
    name: 'makes another incarnation of it',
    before: run(`UPDATE feed_incarnation SET incarnation = 'another'`),
  },
];

/** A feed on which something was taken before, and a holder of keys that has come since. */
async function openAttacked(holderView: (store: FeedStore) => Partial<FeedStore> = () => ({})) {
  const { store, database } = await openTables();
  const clocks = fakeClocks();
  const losses = openLosses(sign(store), clocks);
  await losses.enter(ROWS, id(3));
  const copied = copyTables(database);
  const holder = openHolder(sign(store, holderView(store)), clocks);
  await holder.lease.ensure();
  return { store, database, clocks, losses, copied, holder };
}

/** The holder can use nothing any more of what it had when the loss was entered. */
function hasGivenUp({ lease, told }: Holder): boolean {
  return told.length > 0 || !lease.isHeld();
}

/** A view of the feed that answers nothing more once the process is paused. */
function pausable() {
  let isPaused = false;
  let resume = () => {};
  const never = new Promise<never>((_, reject) => {
    resume = () => reject(new Error('resumed'));
  });
  never.catch(() => undefined);
  const view = (store: FeedStore): Partial<FeedStore> => ({
    head: () => (isPaused ? never : store.head()),
    roster: () => (isPaused ? never : store.roster()),
    entries: (after, limit) => (isPaused ? never : store.entries(after, limit)),
    acknowledge: (row) => (isPaused ? never : store.acknowledge(row)),
  });
  return {
    view,
    pause() {
      isPaused = true;
    },
    resume: () => resume(),
  };
}

async function attackAndPass(
  { before, after }: Attack,
  of: Awaited<ReturnType<typeof openAttacked>>,
) {
  before?.(of.database, of.copied);
  await of.losses.enter(ROWS, id(9));
  after?.(of.database, of.copied);
  const passing = of.losses.pass();
  const isHurried = () => hasGivenUp(of.holder);
  return { waitedMs: await passedAfter(passing, of.clocks, isHurried), passed: await passing };
}

describe('S51 who can write the tables of the feed, but has no key', () => {
  it.each(attacks)(
    '$name: T0 comes after a holder that runs has given up its keys',
    async (attack) => {
      const attacked = await openAttacked();
      await attackAndPass(attack, attacked);
      expect(hasGivenUp(attacked.holder)).toBe(true);
      // And everybody works again.
      await attacked.holder.lease.ensure();
      expect(attacked.holder.lease.isHeld()).toBe(true);
    },
  );

  it.each(attacks)('$name: T0 comes after the lease of a holder that is paused', async (attack) => {
    const { view, pause, resume } = pausable();
    const attacked = await openAttacked(view);
    pause();
    const { waitedMs } = await attackAndPass(attack, attacked);
    expect(hasGivenUp(attacked.holder)).toBe(true);
    expect(waitedMs).toBeGreaterThanOrEqual(LEASE_MS);
    resume();
  });

  it('an acknowledgement of another entry of the same number is none', async () => {
    const attacked = await openAttacked();
    const { database, losses, holder, clocks, copied } = attacked;
    await losses.enter(ROWS, id(4));
    await holder.lease.sync();
    await losses.pass();
    const acknowledged = copyTables(database);
    const told = holder.told.length;
    // The feed goes back to where it was; the next entry has the number of the one that was heard.
    writeBack(database, copied, ['feed_entries']);
    await openLosses(sign(attacked.store), clocks).enter(ROWS, id(5));
    writeBack(database, acknowledged, ['feed_acknowledgements']);
    const passing = openLosses(sign(attacked.store), clocks).pass();
    await passedAfter(passing, clocks);
    expect(holder.told.length > told || !holder.lease.isHeld()).toBe(true);
  });

  it('a holder that the roster lost is waited for with the longest lease there may be, once', async () => {
    const { database, losses, clocks, store } = await openAttacked();
    database.run('DELETE FROM feed_roster');
    await losses.enter(ROWS, id(9));
    const passing = losses.pass();
    const waitedMs = await passedAfter(passing, clocks, () => true);
    expect(waitedMs).toBeGreaterThanOrEqual(LEASE_MS_MAX + LEASE_MARGIN_MS);
    expect((await passing).isRosterLost).toBe(true);
    // A process of its own, which knows nothing of that wait.
    const others = openLosses(sign(store), clocks);
    await others.enter(ROWS, id(10));
    const again = others.pass();
    expect(await passedAfter(again, clocks)).toBeLessThan(LEASE_MS);
    expect((await again).isRosterLost).toBe(false);
  });

  it('keeps an erasure open by taking its entry away each time, and it is told so', async () => {
    const { store, database } = await openTables();
    const clocks = fakeClocks();
    const appendAndLose: FeedStore['append'] = async (entry) => {
      const done = await store.append(entry);
      database.run('DELETE FROM feed_entries');
      return done;
    };
    const losses = openLosses(sign(store, { append: appendAndLose }), clocks);
    await losses.enter(ROWS, id(9));
    await expect(losses.pass()).rejects.toMatchObject({ code: 'VAULT_TAMPERED' });
  });

  it('whose rows are no rows costs nobody more than a new beginning', async () => {
    const { database, holder, clocks, losses, store } = await openAttacked();
    database.run(`UPDATE feed_roster SET text = x'ff00', code = x'00'`);
    database.run(`UPDATE feed_acknowledgements SET code = x'00', acknowledged = 'many'`);
    database.run(`UPDATE feed_entries SET rows = x'ffff', code = 'no'`);
    await holder.lease.sync();
    expect(holder.lease.isHeld()).toBe(true);
    await losses.enter(ROWS, id(9));
    await passedAfter(losses.pass(), clocks, () => true);
    expect((await rosterOf(sign(store))).size).toBeGreaterThan(0);
  });
});
