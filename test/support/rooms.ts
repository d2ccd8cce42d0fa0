/**
 * The rooms of the tree in their order, and what each holds. Imports go up this list only; rooms of
 * one entry are siblings that do not know one another. `docs/architecture.md` shows the same list.
 */

/** Rooms that are entered at one height: by path, what each holds. */
export type Floor = Readonly<Record<string, string>>;

export const ROOMS: readonly Floor[] = [
  { 'libs/base': 'ids, bytes, days, clocks, randomness, errors, retries: what every room may use' },
  { 'libs/engines': 'drivers of SQLite and Cassandra, URLs of engines, migrations, tracing' },
  { 'libs/codec': 'Avro, the frozen envelope and header, hashes, labels' },
  {
    'libs/conversation': 'what channels deliver, event types, folds of messages and views: pure',
    'libs/sealing': 'the key tree, event keys, ciphers: pure',
  },
  { 'libs/keyring': 'rings in memory, and the ports to use, make, shred, hold and capture them' },
  {
    'libs/vault/rows': 'wrapped rows and where each key of the hierarchy lies; the port of stores',
  },
  { 'libs/vault/feed': 'the numbered list of losses, and the leases that live by it' },
  { 'libs/vault/keys': 'the path of keys from the KMS to the buckets; the apps of a store' },
  {
    'libs/vault/rings': 'rings loaded from rows, cached while the lease is held',
    'libs/vault/turn': 'turns of the epoch: new keys for what lost something, then T1',
  },
  { 'libs/vault/directory': 'who is who: people, conversations, names, members of groups' },
  { 'libs/vault/taking': 'fences, holes, removals: what takes key material away' },
  { 'libs/vault/holds': 'legal holds, the days that they keep, merges of people' },
  { 'libs/vault/copy': 'copies of a vault beside its writers, and checks of one' },
  {
    'libs/event-log': 'the log of sealed events: append, read, follow, dead letters',
    'libs/views': 'the views: sealed records by conversation and person, generations, cached pages',
    'libs/deliveries': 'the delivery ledger: what a redelivery is answered from',
    'libs/requests': 'privacy requests, their steps and afterlives; the list of erasures',
    'libs/blobs': 'files by name, for attachments to come',
    'libs/access': 'access keys and tokens: who calls',
    'libs/audit': 'certificates: statements, signatures',
  },
  { 'libs/journal': 'one write for an event, its ledger entry and its request' },
  { 'libs/configuration': 'the variables, checked once at start' },
  { 'libs/wiring': 'opens engines and hands out each power by itself' },
  { 'libs/projection': 'builds views from the log, and knows how far they are' },
  { 'libs/people': 'people and content, opened for those who may read' },
  { 'libs/http': 'the HTTP server that all services share: limits, authentication, errors' },
  {
    'services/ingest/plan': 'who and where a delivery belongs, and which sealed events it makes',
    'services/privacy/kinds': 'each kind of request in one file, and what several kinds share',
  },
  {
    'services/ingest/accept': 'batches, the ledger, the journal; what is answered',
    'services/privacy/life': 'the life of a request: holds, T0, attack, certificate, T1, reclaim',
  },
  {
    'services/ingest': 'the ingest service',
    'services/projector': 'the projector, on a thread of its own',
    'services/reader': 'pages, people, the live stream',
  },
  {
    'services/ingest/doors': 'POST and PATCH',
    'services/privacy/doors': 'DELETE, and the calls behind the command',
  },
  {
    'services/operations': 'backup, restore, copy, doctor, attack, turn, upkeep: no terminal here',
  },
  { 'services/server': 'puts services into a process, with metrics and health' },
  { 'services/cli': 'the command: parse, call, print; the demo' },
];

const names = ROOMS.flatMap((floor) => Object.keys(floor));

/** The room that a file lies in, the longest that holds its path; undefined: none does. */
export function roomOf(file: string): string | undefined {
  const found = names.filter((room) => file.startsWith(`${room}/`));
  return found.sort((a, b) => b.length - a.length)[0];
}

/** How far down the list a file's room is; -1: it is in none. */
export function floorOf(file: string): number {
  return ROOMS.findIndex((floor) => Object.hasOwn(floor, roomOf(file) ?? ''));
}

/** The list as Markdown, for `docs/architecture.md`. */
export function roomsTable(): string {
  const rows = ROOMS.flatMap((floor, i) =>
    Object.entries(floor).map(([room, holds]) => `| ${i + 1} | \`${room}/\` | ${holds} |`),
  );
  return ['| floor | room | what it holds |', '| --- | --- | --- |', ...rows].join('\n');
}

if (import.meta.main) process.stdout.write(`${roomsTable()}\n`);
