/**
 * `lethe doctor`: checks a store against itself. Every event's rings exist or are fenced. Every row
 * of the views comes from an event of the log. Every request is done, and nothing is behind.
 */

import { existsSync } from 'node:fs';
import { isLetheError } from '../../libs/base/lethe-error.ts';
import { sha256 } from '../../libs/codec/hash.ts';
import { decodeSealedEvent, type SealedEvent } from '../../libs/codec/sealed-event.ts';
import { decodePlaced, isTombstone } from '../../libs/event-log/event-log.ts';
import { readLog } from '../../libs/event-log/read-log.ts';
import { eventRingRefs } from '../../libs/keyring/event-sealer.ts';
import { type RingRef, ringRefToKey } from '../../libs/keyring/ring.ts';
import { recordsBehind } from '../../libs/projection/views-behind.ts';
import { type ListedErasure, takenOf } from '../../libs/requests/erasure-list.ts';
import type { OpenStore } from '../../libs/wiring/open-backends.ts';
import { stagingOf } from '../../libs/wiring/store-place.ts';
import { isCertified, isKnownKind } from '../privacy/kinds/kinds.ts';
import { isAbout } from '../privacy/life/certificate-texts.ts';
import { findUndone, readWhole } from '../privacy/life/enforce.ts';

const DEAD_LETTERS_NAMED = 5;
const DAMAGED_NAMED = 5;

/** One check and what it found. */
export interface Check {
  readonly name: string;
  readonly passed: boolean;
  readonly detail: string;
}

/** Runs all checks, whatever the first of them find. Throws the engines' failures. */
export async function runDoctor(
  store: OpenStore,
  onProgress: (text: string) => void,
): Promise<Check[]> {
  const log = await scanLog(store, (count) => onProgress(`${count} events looked at`));
  const listed = await readList(store);
  return [
    checkConfiguration(store),
    await checkEngines(store),
    await checkRootKey(store),
    log.check,
    await checkVault(store),
    'name' in listed ? listed : await checkErasures(store, listed),
    await checkCertificates(store, 'name' in listed ? [] : listed),
    await checkKeys(store, log.refs),
    await checkViews(store, log),
    await checkBacklog(store),
  ];
}

/** A restore that was killed leaves a copy of the vault, and its key, which the next one ends. */
function checkConfiguration({ configuration }: OpenStore): Check {
  const left = stagingOf(configuration);
  const detail = existsSync(left)
    ? `${left}: a restore that was interrupted left it: remove it. Its key ends with the original's`
    : 'valid; keys lie apart from the data';
  return { name: 'configuration', passed: !existsSync(left), detail };
}

/** What was answered is to be on disks. */
async function checkEngines({ backends }: OpenStore): Promise<Check> {
  const { vault, state } = backends.engines;
  const { log } = backends.reader();
  const asked = [vault, state, log].map(async (part) => (await part.unsafeSettings?.()) ?? []);
  const unsafe = [...new Set((await Promise.all(asked)).flat())];
  const detail =
    unsafe.length === 0
      ? 'no setting of theirs is known to lose what was answered'
      : `what was answered can be lost: ${unsafe.join('; ')}`;
  return { name: 'engines', passed: unsafe.length === 0, detail };
}

/** A key that is gone is noticed while processes run that have opened the vault with it. */
async function checkRootKey({ backends }: OpenStore): Promise<Check> {
  const epoch = backends.epoch();
  const state = await epoch.rootKeyState();
  const foreign = await epoch.foreignRootKey();
  if (foreign !== undefined) return { name: 'root key', passed: false, detail: foreign };
  const back = await epoch.broughtBack();
  const detail = `the KMS says of the key at the root of the vault: ${state}`;
  const those =
    back.length === 0
      ? ''
      : `; ${back.join(', ')} had been destroyed and is there again: it opens older copies of ` +
        'the vault. Destroy every copy of that key';
  return { name: 'root key', passed: state === 'usable' && those === '', detail: detail + those };
}

async function scanLog({ backends }: OpenStore, onProgress: (count: number) => void) {
  const { log } = backends.reader();
  const refs = new Map<string, RingRef>();
  const values = new Set<string>();
  const byKey = new Map<string, string>();
  let count = 0;
  let unreadable = 0;
  for await (const records of readLog(log)) {
    for (const record of records) {
      const { key, value } = record;
      if (isTombstone(record)) {
        byKey.delete(key.toString('latin1'));
        continue;
      }
      values.add(sha256(value).toString('latin1'));
      const event = tryDecode(() => decodePlaced(record, log));
      if (event === undefined) unreadable += 1;
      else for (const ref of eventRingRefs(event.header)) refs.set(ringRefToKey(ref), ref);
      const isMessage = event?.header.type === 'MessagePosted';
      if (isMessage) byKey.set(key.toString('latin1'), event.header.thing);
    }
    count += records.length;
    onProgress(count);
  }
  const detail = `${count} records on the log, ${unreadable} that cannot be read`;
  const check: Check = { name: 'log', passed: unreadable === 0, detail };
  return { refs, values, messages: new Set(byKey.values()), check };
}

function tryDecode(decode: () => SealedEvent): SealedEvent | undefined {
  try {
    return decode();
  } catch (error) {
    if (isLetheError(error)) return undefined;
    throw error;
  }
}

/** Every row of the vault authenticates, and everybody who has a ring has an entry. */
async function checkVault({ backends }: OpenStore): Promise<Check> {
  const problems = await backends.vaultCheck();
  const count = problems.tampered + problems.missing;
  const detail =
    `${problems.rows} rows of living apps, ${problems.tampered} that do not authenticate, ` +
    `${problems.missing} people or conversations without an entry${namesOf(problems.named)}`;
  return { name: 'vault', passed: count === 0, detail };
}

/** The list of erasures, or why it cannot be read. */
async function readList({ backends }: OpenStore): Promise<readonly ListedErasure[] | Check> {
  try {
    return await readWhole(backends.privacy());
  } catch (error) {
    if (!isLetheError(error) || error.retryable) throw error;
    return { name: 'erasures', passed: false, detail: error.message };
  }
}

/** What was erased stays so, by the list of erasures. */
async function checkErasures(
  { backends }: OpenStore,
  listed: readonly ListedErasure[],
): Promise<Check> {
  const undone = await findUndone(backends.privacy(), listed);
  const first = undone.slice(0, DAMAGED_NAMED);
  const named = first.map(({ request }) => `${request.kind} ${request.id}`);
  const detail = `${listed.length} entries on the list of erasures, ${undone.length} undone`;
  const which =
    named.length > 0 ? ` (${named.join(', ')}): rows were written back, or removed` : '';
  return { name: 'erasures', passed: undone.length === 0, detail: `${detail}${which}` };
}

/** Certificates are believed by the public key beside them, and are about what their names say. */
async function checkCertificates(
  { backends }: OpenStore,
  listed: readonly ListedErasure[],
): Promise<Check> {
  const { certificates } = backends.privacy();
  const name = 'certificates';
  const wrong: string[] = [];
  let count = 0;
  let absent = 0;
  const taken = takenOf(listed);
  try {
    const problem = await certificates.publicKeyProblem();
    if (problem !== undefined) return { name, passed: false, detail: problem };
    for (const { id, app, kind } of listed) {
      if (!isCertified(kind)) continue;
      const found = await certificates.find(id);
      const isAnother = found && !isAbout(found.statement, { id, app, kind });
      if (isAnother || (await certificates.isForeign(id))) wrong.push(id);
      else if (found) count += 1;
      else if (taken.has(id)) absent += 1;
    }
  } catch (error) {
    if (!isLetheError(error) || error.retryable) throw error;
    return { name, passed: false, detail: error.message };
  }
  const first = wrong.slice(0, DAMAGED_NAMED).join(', ');
  const those = wrong.length > 0 ? `; ${wrong.length} are not what their names say (${first})` : '';
  const detail = `${count} certificates, signed with the key whose public half lies beside them`;
  // Whoever keeps them elsewhere knows; whoever does not is told.
  const missing = absent > 0 ? `; of ${absent} erasures there is none here` : '';
  return { name, passed: wrong.length === 0, detail: detail + missing + those };
}

/** The first of them: by these an operator finds the rows, and whose app they are. */
function namesOf(rows: readonly { app: string; kind: number; id: string }[]): string {
  if (rows.length === 0) return '';
  const shown = rows.slice(0, DAMAGED_NAMED).map(({ app, kind, id }) => `app ${app} ${kind}.${id}`);
  return ` (${shown.join(', ')}${rows.length > shown.length ? ', …' : ''})`;
}

async function checkKeys(
  { backends }: OpenStore,
  refs: ReadonlyMap<string, RingRef>,
): Promise<Check> {
  const { live, fenced, ofErasedApps, missing } = await backends.ringCheck([...refs.values()]);
  const detail =
    `${refs.size} rings used by events: ${live} live, ` +
    `${fenced} fenced, ${ofErasedApps} of erased apps, ${missing} missing`;
  return { name: 'key coverage', passed: missing === 0, detail };
}

async function checkViews(
  { backends }: OpenStore,
  log: { readonly values: ReadonlySet<string>; readonly messages: Set<string> },
): Promise<Check> {
  const { views } = backends.reader();
  // Before the rows: what comes meanwhile is not missed.
  const isBehind = (await recordsBehind(backends.reader())) > 0;
  let rows = 0;
  let strangers = 0;
  for await (const record of views.scanRecords()) {
    rows += 1;
    const event = tryDecode(() => decodeSealedEvent(record));
    if (event === undefined || !log.values.has(sha256(record).toString('latin1'))) strangers += 1;
    if (event?.header.type === 'MessagePosted') log.messages.delete(event.header.thing);
  }
  const missing = isBehind ? 0 : log.messages.size;
  const advice = missing > 0 ? ': lethe rebuild makes them anew' : '';
  const detail =
    `${rows} rows of the views, ${strangers} without an event on the log, ` +
    `${missing} messages of the log without a row${advice}`;
  return { name: 'views', passed: strangers === 0 && missing === 0, detail };
}

async function checkBacklog({ backends }: OpenStore): Promise<Check> {
  const { log, views } = backends.projector();
  const behind = await recordsBehind({ log, views });
  const letters = await log.deadLetters.list();
  const places = letters
    .slice(0, DEAD_LETTERS_NAMED)
    .map(({ partition, offset, reason }) => `${partition}:${offset} ${reason}`);
  const { requests } = backends.privacy();
  const open = await requests.open(1_000);
  const forged = await requests.forged();
  const ours = open.filter(({ isForged }) => !isForged);
  const kinds = new Set(ours.map(({ kind }) => kind).filter((kind) => !isKnownKind(kind)));
  const newer = kinds.size > 0 ? ` (only a newer Lethe knows: ${[...kinds].join(', ')})` : '';
  const changed =
    forged.length > 0 ? `, ${forged.length} written or changed from outside (${forged[0]}, …)` : '';
  const detail =
    `${behind} events not in the views yet, ${open.length} open requests${newer}${changed}, ` +
    `${letters.length} dead letters${places.length > 0 ? ` (${places.join(', ')})` : ''}` +
    (ours.length > kinds.size ? '. A privacy service (lethe serve) finishes open requests' : '');
  const passed = letters.length === 0 && open.length === 0 && forged.length === 0;
  return { name: 'backlog', passed, detail };
}
