/**
 * `lethe restore`: a backup becomes the store again. Everything happens in a folder beside the
 * data, so that nobody can open it before what was erased since was erased again.
 */
import { copyFileSync, existsSync, mkdirSync, renameSync, rmSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { configurationOf, type FoundBackup, findBackups } from '../../libs/backends/backup.ts';
import type { Configuration } from '../../libs/backends/configuration.ts';
import {
  type Backends,
  LOG_COPY,
  openBackends,
  VAULT_COPY,
} from '../../libs/backends/open-backends.ts';
import { openRootKms } from '../../libs/backends/open-root-kms.ts';
import type { PrivacyPowers } from '../../libs/backends/powers.ts';
import type { HoldId, SubjectId } from '../../libs/base/ids.ts';
import { LetheError } from '../../libs/base/lethe-error.ts';
import type { ListedErasure } from '../../libs/requests/erasure-list.ts';
import type { RequestKind } from '../../libs/requests/request-store.ts';
import { carryOut } from '../privacy/carry-out.ts';
import { runOpenRequests } from '../privacy/request-worker.ts';
import { rebuildViews } from '../projector/project.ts';
import { CommandEnd, exitCodes } from './terminal.ts';

export interface Restored {
  readonly backup: string;
  readonly madeAt: string;
  /** Erasures that are newer than the backup, and were carried out again. */
  readonly applied: number;
  readonly events: number;
}

const BATCH_ERASURES = 100;

/** Restores into the configured files, which must not be there. */
export async function restore(
  configuration: Configuration,
  folder: string,
  onProgress: (text: string) => void,
): Promise<Restored> {
  const backup = await chooseBackup(configuration, folder);
  const { logFile, viewsFile, vaultFile } = configuration;
  // SQLite would play an old write-ahead log into the restored file.
  const ends = ['', '-wal', '-shm', '-journal'];
  for (const file of [logFile, viewsFile, vaultFile].flatMap((one) =>
    ends.map((end) => one + end),
  )) {
    if (!existsSync(file)) continue;
    throw new LetheError('INPUT_INVALID', `${file} is there: move the data away first`);
  }
  const staging = `${vaultFile}.restoring`;
  rmSync(staging, { recursive: true, force: true });
  mkdirSync(staging, { recursive: true, mode: 0o700 });
  for (const name of [LOG_COPY, VAULT_COPY]) {
    copyFileSync(join(backup.folder, name), join(staging, name));
  }
  const staged = configurationOf(configuration, staging);
  const backends = await openBackends(staged);
  let done: Pick<Restored, 'applied' | 'events'>;
  try {
    await backends.renewFeed();
    await backends.epoch().closeTurn();
    const { tampered, missing } = await backends.vaultCheck();
    if (tampered + missing > 0) {
      throw new LetheError('VAULT_TAMPERED', `${backup.folder} does not open as a whole`);
    }
    // What had been asked for, but was not finished when the copy was made.
    await runOpenRequests(backends.privacy());
    const applied = await applyErasures(backends, backup, onProgress);
    const events = await rebuildViews(backends.projector(), (count, total) =>
      onProgress(`${count} of ${total} events into the views`),
    );
    done = { applied, events };
  } finally {
    await backends.close();
  }
  mkdirSync(dirname(logFile), { recursive: true, mode: 0o700 });
  mkdirSync(dirname(viewsFile), { recursive: true, mode: 0o700 });
  renameSync(staged.viewsFile, viewsFile);
  renameSync(staged.logFile, logFile);
  renameSync(staged.vaultFile, vaultFile);
  rmSync(staging, { recursive: true, force: true });
  return { backup: backup.folder, madeAt: backup.manifest.madeAt, ...done };
}

/** The backup that is meant; one that opens with today's KMS. */
async function chooseBackup(configuration: Configuration, folder: string): Promise<FoundBackup> {
  const kms = openRootKms(configuration);
  const opens = async ({ manifest }: FoundBackup) =>
    (await kms.describeKey(manifest.kmsKey as never)) !== 'gone';
  const found = findBackups(folder);
  for (const backup of found) if (await opens(backup)) return backup;
  const siblings = found.length === 1 ? findBackups(dirname(found[0]!.folder)) : [];
  const others: FoundBackup[] = [];
  for (const backup of siblings) if (await opens(backup)) others.push(backup);
  const advice =
    others.length === 0
      ? 'No backup beside it opens with these keys either'
      : `The newest that opens is ${others[0]!.folder}`;
  throw new CommandEnd(
    exitCodes.refused,
    'the KMS key of this backup is not in LETHE_KMS: a turn has ended its epoch and destroyed ' +
      `it, or this is another key folder. ${advice}`,
  );
}

async function applyErasures(
  backends: Backends,
  { manifest }: FoundBackup,
  onProgress: (text: string) => void,
): Promise<number> {
  const powers = backends.privacy();
  const all = await powers.erasures.read();
  const lastKnown = manifest.erasures === 0 ? null : all[manifest.erasures - 1]?.id;
  if (lastKnown !== manifest.lastErasure) {
    throw new LetheError(
      'CONFIGURATION_INVALID',
      'LETHE_ERASURES: the list is missing, or it is not the one that this backup was made with; ' +
        'without it, people who were erased since would come back',
    );
  }
  const listed = all.slice(manifest.erasures);
  const newest = new Map(listed.map((one) => [one.id, one]));
  // What was listed and then refused is not to be done again.
  const later = [...newest.values()].filter((one) => one.kind !== 'withdrawn');
  for (let at = 0; at < later.length; ) {
    const one = later[at]!;
    if (one.kind === 'hold') {
      const { subject, hold } = one.target;
      await powers.keyring.hold(one.app, subject as SubjectId, hold as HoldId);
      at += 1;
      continue;
    }
    // In the order of then: what was asked for between two holds stays between them.
    const next = later.findIndex((other, i) => i > at && other.kind === 'hold');
    const end = Math.min(next < 0 ? later.length : next, at + BATCH_ERASURES);
    await applyAgain(powers, later.slice(at, end).filter(isRequest));
    at = end;
    onProgress(`${at} of ${later.length} erasures applied again`);
  }
  return later.length;
}

/** They were carried out before, when nothing held them: no hold of then refuses them now. */
async function applyAgain(
  powers: PrivacyPowers,
  listed: readonly (ListedErasure & { kind: RequestKind })[],
): Promise<void> {
  const nowMs = powers.clock.nowMs();
  const requests = listed.map(({ id, app, kind, target }) => {
    return { id, app, kind, target, step: 'received', receivedAtMs: nowMs, changedAtMs: nowMs };
  });
  for (const request of requests) await powers.requests.add(request);
  for (const carried of await carryOut(powers, requests, 'restored')) {
    if ('failure' in carried) throw carried.failure;
  }
}

function isRequest(one: ListedErasure): one is ListedErasure & { kind: RequestKind } {
  return one.kind !== 'withdrawn' && one.kind !== 'hold';
}
