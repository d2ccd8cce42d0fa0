/**
 * `lethe restore`: a backup becomes the store again. Everything happens in a folder beside the
 * data, so that nobody can open it before what was erased since was erased again.
 */
import { copyFileSync, existsSync, rmSync, statSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { makeFolders, readRegularFile, writeFileDurably } from '../../libs/base/durable-file.ts';
import type { KeyId, RequestId } from '../../libs/base/ids.ts';
import { isLetheError, LetheError } from '../../libs/base/lethe-error.ts';
import { labels } from '../../libs/codec/labels.ts';
import type { Configuration } from '../../libs/configuration/configuration.ts';
import { isWholeFile, lockFile } from '../../libs/engines/sqlite-database.ts';
import { isDamage } from '../../libs/keyring/past-damage.ts';
import { isSameMac } from '../../libs/keyring/store-mac.ts';
import { catchUp, rebuildViews } from '../../libs/projection/project.ts';
import {
  type ErasureList,
  type ListedErasure,
  type ListedRequest,
  revokedOf,
  standing,
  takenOf,
} from '../../libs/requests/erasure-list.ts';
import type { KnownPlace } from '../../libs/vault/keys/list-heads.ts';
import type { DamagedRow } from '../../libs/vault/turn/turn-store.ts';
import { type Backends, openBackends } from '../../libs/wiring/open-backends.ts';
import { removePages } from '../../libs/wiring/open-engines.ts';
import { openRootKms } from '../../libs/wiring/open-root-kms.ts';
import type { AdministrationPowers, PrivacyPowers } from '../../libs/wiring/powers.ts';
import { placingMark, stagingOf } from '../../libs/wiring/store-place.ts';
import { endForsakenGroup } from '../privacy/kinds/end-group.ts';
import type { Asked } from '../privacy/kinds/kind.ts';
import { isKnownKind } from '../privacy/kinds/kinds.ts';
import { enforceErasures, takeAgain } from '../privacy/life/enforce.ts';
import { findOpening, isRequest } from '../privacy/life/look-again.ts';
import {
  runOpenRequests,
  type UnknownRequest,
  whyUnknown,
} from '../privacy/life/request-worker.ts';
import { type FoundBackup, findBackups, makeBackup, stagedConfiguration } from './backup.ts';
import { LOG_COPY, VAULT_COPY } from './copy-data.ts';
import { findNewerEvents } from './newer-events.ts';
import { assertVacant, isVacant, placeRestored } from './place-restored.ts';

export interface Restored {
  readonly backup: string;
  readonly madeAt: string;
  /** Erasures that are newer than the backup, and were carried out again. */
  readonly applied: number;
  /** Events that were newer than the backup and could not be opened: removed from the log. */
  readonly removed: number;
  readonly events: number;
  /** Rows of the vault that do not authenticate: they stay as they are, all others are restored. */
  readonly damaged: readonly DamagedRow[];
  /** The first backup of the restored store; null: none could be made. */
  readonly ownBackup: string | null;
  /** Why requests stay open: only a newer version knows them, or nobody who may has made them. */
  readonly left: readonly string[];
}

export interface RestoreOptions {
  /** Removes events that are newer than the backup and sealed under keys that it has not. */
  readonly isNewerRemoved: boolean;
  /** How far the list of erasures goes; `any`: as far as it does, later entries may be missing. */
  readonly erasuresHead: KnownPlace | 'any';
  onProgress(text: string): void;
}

const BATCH_ERASURES = 100;

/**
 * Restores into the configured engines, where no store must be. Throws BACKUP_UNUSABLE: its KMS key
 * is gone, or the log has events that it cannot open. Throws INPUT_INVALID: there is a store, or no
 * backup. Throws CONFIGURATION_INVALID: another list of erasures. Throws VAULT_TAMPERED.
 */
export async function restore(
  configuration: Configuration,
  folder: string,
  options: RestoreOptions,
): Promise<Restored> {
  const staging = stagingOf(configuration);
  const lock = lockFile(`${staging}.lock`);
  if (lock === undefined) {
    const text = `another restore works in ${staging}: wait until it has ended`;
    throw new LetheError('CONTENDED', text, { retryable: true });
  }
  try {
    const placed = await readPlaced(configuration);
    if (placed !== undefined) return await finishPlaced(configuration, placed, folder);
    const backup = await chooseBackup(configuration, folder);
    await assertVacant(configuration);
    // Of a run that ended, or was refused, no copy of the vault is left lying about.
    const clear = () => rmSync(staging, { recursive: true, force: true });
    clear();
    try {
      return await restoreIn(staging, { configuration, backup }, options);
    } finally {
      // What was not whole in its place must not be taken for a store.
      if (!existsSync(placingMark(configuration))) clear();
    }
  } finally {
    lock.release();
  }
}

async function restoreIn(
  staging: string,
  { configuration, backup }: { configuration: Configuration; backup: FoundBackup },
  { isNewerRemoved, erasuresHead, onProgress }: RestoreOptions,
): Promise<Restored> {
  makeFolders(staging);
  for (const name of [LOG_COPY, VAULT_COPY]) {
    const file = join(backup.folder, name);
    if (!existsSync(file)) throw damagedFile(file, 'is not there');
    if (statSync(file).size === 0) throw damagedFile(file, 'is empty');
    copyFileSync(file, join(staging, name));
    if (!isWholeFile(join(staging, name))) throw damagedFile(file, 'is damaged');
  }
  const staged = stagedConfiguration(configuration, staging);
  const backends = await openBackends(staged);
  const kms = await openRootKms(configuration);
  let own: KeyId | undefined;
  const { powers, deferred } = withDeferredList(backends.privacy());
  const left = new Set<string>();
  let placed: { text: string; code: string };
  try {
    // Another incarnation of the feed: every holder drops its keys.
    await backends.renewFeed();
    const { named: damaged } = await backends.vaultCheck();
    // Everything that can refuse comes before anything that is done.
    const { later, hasTaken } = await listedSince(backends, erasuresHead);
    await backends.privacy().erasures.takeOver();
    await backends.epoch().beginOwnCodes();
    const hasNewer = staged.log.engine !== 'sqlite';
    if (hasNewer) await assertNewerSettled(backends, { isNewerRemoved, onProgress });
    await backends.settleDirectory(damaged);
    const { newer: removed } =
      hasNewer && isNewerRemoved ? await findNewerEvents(powers, true, onProgress) : { newer: 0 };
    // An erasure looks in the views for what somebody who is held has said in a group.
    const events = await rebuildViews(
      backends.projector(),
      backends.reader().keyring,
      (count, total) => onProgress(`${count} of ${total} events into the views`),
    );
    await dropListed(powers, later);
    const applied = await applyErasures({ powers, ...backends.administration() }, later, {
      hasTaken,
      left,
      catchUp: () => catchUp(backends.projector()),
      onProgress,
    });
    // Whoever is held keeps what they said in groups: the views say where.
    await catchUp(backends.projector());
    // What had been asked for, but was not begun when the copy was made; holds of the list count.
    const onUnknown = (one: UnknownRequest) => left.add(whyUnknown(one).message);
    const onRefused = () => undefined;
    await passDamaged(left, () => runOpenRequests(powers, { onUnknown, onRefused }));
    await catchUp(backends.projector());
    // Also what is older than the backup: where that begins lies in it, and may have been moved.
    const onUndone = ({ message }: LetheError) => left.add(message);
    await passDamaged(left, () => enforceErasures(powers, onUndone));
    // Whoever came anew under the name of somebody who was erased has it now.
    for (const { app, group, by } of await backends.settleDirectory(damaged)) {
      await endForsakenGroup(
        { powers, app, request: { id: by as string as RequestId, loss: by } },
        group,
      );
    }
    await catchUp(backends.projector());
    const taken = later.filter(({ id }) => hasTaken.has(id));
    await assertAllTaken(powers, taken, left);
    const { incarnation: id } = await backends.engines.vault.feed.head();
    const nowMs = () => powers.clock.nowMs();
    const onKeyMade = (key: KeyId) => {
      own = key;
    };
    onProgress('everything gets keys of this store');
    const turn = await backends.epoch().becomeOwnStore({ id, nowMs, onKeyMade, onProgress });
    for (const app of turn.failedApps) left.add(`the app ${app} keeps keys of the original`);
    const { folder, manifest } = backup;
    const restored = {
      backup: resolve(folder),
      madeAt: manifest.madeAt,
      applied,
      removed,
      events,
      damaged,
    };
    const text = JSON.stringify({ restored: { ...restored, left: [...left] }, deferred });
    const code = await backends.administration().storeMac.mac(labels.restored, [text]);
    placed = { text, code };
  } catch (error) {
    if (own !== undefined) await kms.destroyKey(own);
    throw error;
  } finally {
    await backends.close();
  }
  writeFileDurably(placingMark(configuration), Buffer.alloc(0), 0o600);
  await placeRestored(staged, configuration, onProgress);
  writeFileDurably(placingMark(configuration), Buffer.from(JSON.stringify(placed)), 0o600);
  return finishPlaced(configuration, placed, backup.folder);
}

/** What is left to do for a store that lies in its place, with a code of that store's. */
interface PlacedText {
  readonly text: string;
  readonly code: string;
}

/** Only ids are in it. */
interface Placed {
  readonly restored: Omit<Restored, 'ownBackup'>;
  /** What the list waits for. */
  readonly deferred: readonly ListedErasure[];
}

/** What a run has left that was killed when all lay in its place; not where that was taken away. */
async function readPlaced(configuration: Configuration): Promise<PlacedText | undefined> {
  const mark = placingMark(configuration);
  const text = existsSync(mark) ? readRegularFile(mark).toString('utf8') : '';
  if (text === '' || (await isVacant(configuration))) return undefined;
  return JSON.parse(text) as PlacedText;
}

/** The last steps; each can be repeated. Throws INPUT_INVALID: it was of another backup. */
async function finishPlaced(
  configuration: Configuration,
  { text, code }: PlacedText,
  folder: string,
): Promise<Restored> {
  const { restored, deferred } = JSON.parse(text) as Placed;
  if (!`${resolve(restored.backup)}/`.startsWith(`${resolve(folder)}/`)) {
    const what = `a restore of ${restored.backup} is not finished: run lethe restore with that`;
    throw new LetheError('INPUT_INVALID', `${what}, or move its data away first`);
  }
  const left = [...restored.left];
  const how = { evenUnfinished: true, mustExist: true } as const;
  const backends = await openBackends(configuration, how);
  let ownBackup: string | null;
  try {
    const own = await backends.administration().storeMac.mac(labels.restored, [text]);
    if (!isSameMac(own, code)) {
      const why = `${placingMark(configuration)} was changed from outside: nothing of it was done`;
      throw new LetheError('VAULT_TAMPERED', why);
    }
    await addDeferred(backends.privacy(), deferred);
    ownBackup = await makeFirstBackup({ backends, configuration }, (why) => left.push(why));
  } finally {
    await backends.close();
  }
  rmSync(placingMark(configuration));
  rmSync(stagingOf(configuration), { recursive: true, force: true });
  // Pages of the store that was lost may lie there under the numbers of this one.
  await removePages(configuration);
  return { ...restored, left, ownBackup };
}

/** Adds to the list what waited for that, but for what a run has added that was killed since. */
async function addDeferred(
  { erasures }: PrivacyPowers,
  deferred: readonly ListedErasure[],
): Promise<void> {
  const nameOf = ({ kind, id }: ListedErasure) => `${kind} ${id}`;
  const listed = new Set((await erasures.read()).map(nameOf));
  await erasures.add(deferred.filter((one) => !listed.has(nameOf(one))));
}

/**
 * What this store lists itself authenticates under a key that no earlier backup has: with that list
 * none of them is restored. Null: none could be made; the store is whole without it.
 */
async function makeFirstBackup(
  store: { readonly backends: Backends; readonly configuration: Configuration },
  onFailed: (why: string) => void,
): Promise<string | null> {
  const nowMs = store.backends.privacy().clock.nowMs();
  try {
    return (await makeBackup(store, store.configuration.backupsFolder, nowMs)).folder;
  } catch (error) {
    if (!isLetheError(error)) throw error;
    onFailed(`no backup of the restored store could be made (${error.message}): make one first`);
    return null;
  }
}

/**
 * What a restore adds to the list, it adds when the store is in its place. Of a run that ended
 * before, nobody would have the key that its entries authenticate under.
 */
function withDeferredList(powers: PrivacyPowers) {
  const { erasures } = powers;
  const deferred: ListedErasure[] = [];
  const add = async (entries: readonly ListedErasure[]) => {
    // Also without any it looks at the list.
    const joined = await erasures.add([]);
    deferred.push(...entries);
    return joined;
  };
  const read: typeof erasures.read = async (after) => [
    ...(await erasures.read(after)),
    ...deferred,
  ];
  return { powers: { ...powers, erasures: { ...erasures, add, read } }, deferred };
}

/** Requests that the list is applied of, as it says: they began after the copy, or were refused. */
async function dropListed(
  { requests }: PrivacyPowers,
  later: readonly ListedErasure[],
): Promise<void> {
  const listed = new Set(later.map(({ id }) => id));
  const open = await requests.open(Number.MAX_SAFE_INTEGER);
  for (const { id } of open) if (listed.has(id)) await requests.drop(id);
}

function damagedFile(file: string, what: string): LetheError {
  return new LetheError('BACKUP_UNUSABLE', `${file} ${what}: use another backup`);
}

/** A log on servers went on after the backup: who came anew since has no ring in it. */
async function assertNewerSettled(
  backends: Backends,
  { isNewerRemoved, onProgress }: Pick<RestoreOptions, 'isNewerRemoved' | 'onProgress'>,
): Promise<void> {
  const { newer, looked } = await findNewerEvents(backends.privacy(), false, onProgress);
  if (newer > 0 && newer === looked) {
    const why = 'no event of the log can be opened with this backup: it is of another store';
    throw new LetheError('BACKUP_UNUSABLE', why);
  }
  if (newer === 0 || isNewerRemoved) return;
  throw new LetheError(
    'BACKUP_UNUSABLE',
    `${newer} events of the log are newer than this backup and sealed under keys that it has ` +
      'not: nothing opens them with it. Restore a newer backup, bring the log back to the time ' +
      'of this one, or remove them from the log with --remove-newer',
  );
}

/** The backup that is meant; one that opens with today's KMS. */
async function chooseBackup(configuration: Configuration, folder: string): Promise<FoundBackup> {
  const kms = await openRootKms(configuration);
  const opens = async ({ manifest }: FoundBackup) =>
    (await kms.describeKey(manifest.kmsKey)) === 'usable';
  const found = findBackups(folder);
  for (const backup of found) if (await opens(backup)) return backup;
  const siblings = found.length === 1 ? findBackups(dirname(found[0]!.folder)) : [];
  const others: FoundBackup[] = [];
  for (const backup of siblings) if (await opens(backup)) others.push(backup);
  const advice =
    others.length === 0
      ? 'No backup beside it opens with these keys either'
      : `The newest that opens is ${others[0]!.folder}`;
  throw new LetheError(
    'BACKUP_UNUSABLE',
    'the KMS key of this backup cannot be used: a turn has ended its epoch and destroyed it ' +
      `(AWS KMS keeps it, disabled, for some days), or this is another key folder. ${advice}`,
  );
}

/**
 * What was erased since the backup, from where the copy of the vault says. Throws
 * CONFIGURATION_INVALID: it is not this store's list, or it does not go as far as `upTo`. Throws
 * ERASURES_TAMPERED. Throws FORMAT_UNKNOWN: a newer version erased something in a way that this one
 * does not know.
 */
async function listedSince(
  backends: Backends,
  upTo: RestoreOptions['erasuresHead'],
): Promise<{ later: ListedErasure[]; hasTaken: ReadonlySet<RequestId> }> {
  const { erasures, backupStart } = backends.privacy();
  const start = await backupStart.read();
  const end = await erasures.head();
  if (!(await erasures.isThere()) || end.number < start.number) {
    throw listMissing('is missing, or ends before this backup was made');
  }
  const listed = await erasures.read(start);
  if (upTo !== 'any' && !(await goesTo(erasures, upTo, end))) {
    throw listMissing(`ends before entry ${upTo.number}, or is another`);
  }
  const later = standing(listed);
  const unknown = later.find(({ kind }) => !NO_REQUESTS.includes(kind) && !isKnownKind(kind));
  if (unknown === undefined) return { later, hasTaken: takenOf(listed) };
  const text = `LETHE_ERASURES lists a request of the kind ${unknown.kind}: use a newer Lethe`;
  throw new LetheError('FORMAT_UNKNOWN', text);
}

/** Is the head that an operator has kept a part of the list? */
async function goesTo(
  erasures: ErasureList,
  { number, mac }: KnownPlace,
  end: KnownPlace,
): Promise<boolean> {
  if (number > end.number) return false;
  if (number === 0) return true;
  const at = await erasures.at(number);
  return at !== undefined && isSameMac(at.mac, mac);
}

function listMissing(why: string): LetheError {
  return new LetheError(
    'CONFIGURATION_INVALID',
    `LETHE_ERASURES: the list ${why}; without it, people who were erased since would come back`,
  );
}

/**
 * Nothing that was taken since the backup may open in what it becomes. Throws VAULT_TAMPERED:
 * something does, as rows of the backup are damaged, or were changed.
 */
async function assertAllTaken(
  powers: PrivacyPowers,
  later: readonly ListedErasure[],
  left: ReadonlySet<string>,
): Promise<void> {
  const opening = await findOpening(powers, later);
  if (opening.length === 0) return;
  const named = opening.map(({ kind, id }) => `${kind} ${id}`).join(', ');
  const text = `what was taken since this backup cannot be taken out of it again (${named})`;
  const why = left.size > 0 ? `: ${[...left].join('; ')}` : '';
  throw new LetheError('VAULT_TAMPERED', `${text}${why}. Restore another backup`);
}

/** What a row that does not authenticate keeps from being done is told, and keeps nothing back. */
async function passDamaged(left: Set<string>, work: () => Promise<unknown>): Promise<void> {
  try {
    await work();
  } catch (error) {
    // A hold has refused what was open: it is over, as it would be in a store that goes on.
    if (!isDamage(error) && !isLetheError(error, 'HELD')) throw error;
    left.add((error as LetheError).message);
  }
}

async function applyErasures(
  { powers, accessKeys }: { powers: PrivacyPowers } & Pick<AdministrationPowers, 'accessKeys'>,
  later: readonly ListedErasure[],
  {
    hasTaken,
    left,
    catchUp: catchUpViews,
    onProgress,
  }: {
    hasTaken: ReadonlySet<RequestId>;
    left: Set<string>;
    catchUp: () => Promise<unknown>;
    onProgress: (text: string) => void;
  },
): Promise<number> {
  const hasItsPlace = (one: ListedErasure): one is ListedRequest =>
    isRequest(one) && hasTaken.has(one.id);
  const take = (those: readonly ListedRequest[], as: Asked) =>
    passDamaged(left, async () => {
      for (const { error } of await takeAgain(powers, those, as)) throw error;
    });
  for (let at = 0; at < later.length; ) {
    const one = later[at]!;
    if (one.kind === 'revoke-key') {
      await accessKeys.revoke(revokedOf(one), one.atMs);
      at += 1;
      continue;
    }
    if (one.kind === 'hold') {
      const { subject, hold } = one.target;
      await passDamaged(left, () => powers.keyringHold.hold(one.app, subject, hold));
      at += 1;
      continue;
    }
    // In the order of then: what was asked for between two holds stays between them.
    const next = later.findIndex((other, i) => i > at && !isRequest(other));
    const end = Math.min(next < 0 ? later.length : next, at + BATCH_ERASURES);
    await take(later.slice(at, end).filter(hasItsPlace), 'restored');
    at = end;
    onProgress(`${at} of ${later.length} erasures applied again`);
  }
  await catchUpViews();
  // What began and was neither refused nor carried out meets the holds that there are by now.
  await take(
    later.filter(isRequest).filter((one) => !hasItsPlace(one)),
    'uncertain',
  );
  return later.length;
}

/** Entries of the list that are no requests. */
const NO_REQUESTS: readonly string[] = ['withdrawn', 'hold', 'revoke-key'];
