/**
 * A whole store on other engines: log, vault and state as they are, sealed and wrapped; the views
 * are built from the log afterwards. Nobody writes to the original meanwhile. What was interrupted
 * is run again: what is there already is compared and not written twice. The original is closed at
 * the end, and the copy tells no T1 until the original's keys are gone.
 */
import { LetheError } from '../../libs/base/lethe-error.ts';
import type { Configuration } from '../../libs/configuration/configuration.ts';
import { type CopiedLog, copyLog } from '../../libs/event-log/copy-log.ts';
import { withCodes } from '../../libs/event-log/record-codes.ts';
import { createWakeSignal } from '../../libs/event-log/wake-signal.ts';
import { countDiffering, dropAbsent } from '../../libs/vault/copy/compare-vaults.ts';
import { moveRoot } from '../../libs/vault/copy/move-root.ts';
import {
  endFormerKeys,
  markUnfinished,
  noteOrigin,
  setClosed,
} from '../../libs/vault/copy/original.ts';
import { type CopiedVault, copyVault } from '../../libs/vault/copy/vault-copy.ts';
import { openConnections } from '../../libs/wiring/connections.ts';
import { type Backends, openBackends } from '../../libs/wiring/open-backends.ts';
import { openErasures, openLog, openState, openVault } from '../../libs/wiring/open-engines.ts';
import { openRootKms } from '../../libs/wiring/open-root-kms.ts';
import { type CopiedState, copyState } from './copy-state.ts';

/** What was copied, and verified by a second look at both. */
export interface CopiedStore {
  readonly log: CopiedLog;
  readonly vault: CopiedVault & { readonly differing: number };
  readonly state: CopiedState;
  readonly erasures: number;
}

/**
 * Copies. Throws INPUT_INVALID (the target holds something else), VAULT_TAMPERED (it differs),
 * CONTENDED (a turn is under way), and the engines' failures.
 */
export async function copyStore(
  from: Configuration,
  to: Configuration,
  { onProgress, isKeptOpen }: { onProgress(text: string): void; readonly isKeptOpen: boolean },
): Promise<CopiedStore> {
  if (JSON.stringify(from.vault) === JSON.stringify(to.vault)) {
    throw new LetheError(
      'INPUT_INVALID',
      'both name the same vault: name another place to copy to',
    );
  }
  const opened = { source: await openAll(from), target: await openAll(to) };
  try {
    const { source, target } = await withOwnCodes(from, opened);
    await markUnfinished(source.vault.store, target.vault);
    const log = await copyLog(source.log, target.log, (done) => onProgress(`${done} records`));
    const kms = { from: await openRootKms(from), to: await openRootKms(to) };
    const change = moveRoot(kms.from, kms.to, target.vault);
    const vault = await copyVault(source.vault.copy, target.vault.copy, {
      change,
      onProgress: ({ rows }) => onProgress(`${rows} rows of the vault`),
    });
    await dropAbsent(source.vault.store, target.vault.copy);
    const differing = await countDiffering(source.vault.copy, target.vault.store);
    if (differing > 0) {
      throw new LetheError('VAULT_TAMPERED', `${differing} rows of the vault differ in the copy`);
    }
    const state = await copyState(source.state, target.state);
    onProgress(`${state.deliveries} entries of the delivery ledger`);
    const again = await copyLog(source.log, target.log);
    if (again.appended > 0 || again.hash !== log.hash) {
      throw new LetheError('INPUT_INVALID', 'the log was written to meanwhile: copy once more');
    }
    const erasures = await copyErasures(from, to);
    const ended = await endFormerKeys(target.vault, kms.to);
    await withBackends(to, async (copy) => {
      await withBackends(from, async (original) => {
        // Nobody has used the copy's keys yet: it had no turn, and no unknown holder of keys.
        await copy.beginFeed();
        await copy.turns.begin();
        await noteOrigin(turnedOf(original), turnedOf(copy), { originals: kms.from, ended });
        if (!isKeptOpen) await close(original, () => hasGoneOn({ from, to, source, target, log }));
        await setClosed(turnedOf(copy), false);
      });
    });
    return { log, vault: { ...vault, differing }, state, erasures };
  } finally {
    await Promise.all([opened.source.close(), opened.target.close()]);
  }
}

/**
 * Closes the original, if nobody uses it: a process that has it open would go on with it. Throws
 * INPUT_INVALID: somebody does, or has done so meanwhile.
 */
async function close(original: Backends, hasGoneOn: () => Promise<boolean>): Promise<void> {
  await setClosed(turnedOf(original), true);
  const running = await original.otherHolders();
  if (running === 0 && !(await hasGoneOn())) return;
  await setClosed(turnedOf(original), false);
  const text =
    running > 0
      ? `${running} processes have the original open: stop all services, and copy once more`
      : 'the original was used meanwhile: copy once more';
  throw new LetheError('INPUT_INVALID', text);
}

type Opened = Awaited<ReturnType<typeof openAll>>;

/** Logs that others may append to: what they have sent is not copied, what is gets its code. */
async function withOwnCodes(
  from: Configuration,
  opened: { readonly source: Opened; readonly target: Opened },
) {
  const { source, target } = opened;
  if (!source.log.isOpenToOthers && !target.log.isOpenToOthers) return opened;
  return withBackends(from, async ({ codes }) => {
    await codes.ready();
    const coded = (one: Opened): Opened => ({ ...one, log: withCodes(one.log, codes) });
    return { source: coded(source), target: coded(target) };
  });
}

/** Has anything been written to log or list of the original since they were copied? */
async function hasGoneOn(copied: {
  readonly from: Configuration;
  readonly to: Configuration;
  readonly source: Opened;
  readonly target: Opened;
  readonly log: CopiedLog;
}): Promise<boolean> {
  const { appended, hash } = await copyLog(copied.source.log, copied.target.log);
  const listed = await copyErasures(copied.from, copied.to);
  return appended > 0 || hash !== copied.log.hash || listed > 0;
}

/** Opens an original again: its copy is given up. Throws CONTENDED, VAULT_UNREACHABLE. */
export async function reopenOriginal(from: Configuration): Promise<void> {
  await withBackends(from, (original) => setClosed(turnedOf(original), false));
}

async function openAll(configuration: Configuration) {
  const use = { wake: createWakeSignal(), connections: openConnections() };
  const logs = await openLog(configuration, use);
  const vault = await openVault(configuration, use);
  const state = await openState(configuration, use);
  return {
    log: logs.log(),
    vault,
    state,
    async close() {
      await Promise.all([logs.close(), vault.close(), state.close()]);
      use.connections.close();
    },
  };
}

/** With a whole store opened, for what its keys authenticate. */
async function withBackends<Result>(
  configuration: Configuration,
  work: (backends: Backends) => Promise<Result>,
): Promise<Result> {
  const backends = await openBackends(configuration, { evenClosed: true });
  return work(backends).finally(() => backends.close());
}

function turnedOf({ engines, turns }: Backends) {
  return { store: engines.vault.store, turns };
}

/** What a restore of the copy has to apply again. */
async function copyErasures(from: Configuration, to: Configuration): Promise<number> {
  if (from.erasuresFolder === to.erasuresFolder) return 0;
  const [source, target] = [openErasures(from), openErasures(to)];
  let copied = 0;
  // As they are: the copy has the key that authenticates them.
  for (let number = 1; number <= (await source.newest()); number += 1) {
    const text = await source.read(number);
    if (text !== undefined && (await target.create(number, text))) copied += 1;
  }
  return copied;
}
