/** The powers over epochs, which operators have: turns, T1, originals. */
import { isLetheError } from '../base/lethe-error.ts';
import type { RequestStore } from '../requests/request-store.ts';
import type { StoreMacs } from '../vault/keys/vault-store-mac.ts';
import { createRowJudge } from '../vault/taking/row-judge.ts';
import { endCopies, endOriginals } from '../vault/turn/end-originals.ts';
import {
  noteServing,
  readEpochStatus,
  readRootKeyState,
  rootKmsKey,
} from '../vault/turn/epoch-status.ts';
import { settleT1 } from '../vault/turn/epoch-t1.ts';
import { becomeOwnStore, ownerOf, runTurn } from '../vault/turn/epoch-turn.ts';
import type { TurnContext } from '../vault/turn/turn-run.ts';
import type { EpochPowers } from './powers.ts';

/** Opens them. */
export function epochPowers(
  deps: TurnContext,
  { mac, requests }: { readonly mac: StoreMacs; readonly requests: RequestStore },
): EpochPowers {
  const { turns, kms } = deps;
  return {
    turn: (given) => turnJudged(deps, given),
    ...rootKeyOf(deps),
    status: () => readEpochStatus(deps),
    settleT1: (nowMs, listener) => settleT1({ turns, kms }, nowMs, listener),
    async beginOwnCodes() {
      const former = await mac.renew();
      await requests.takeOver(former);
      await turns.takeOver(former);
    },
    becomeOwnStore: (as) => becomeOwnStore(deps, as),
    endOriginals: (of, how) => endOriginals({ turns, kms }, of, how),
    endCopies: () => endCopies(deps),
  };
}

/** What is told and noted of the key at the root. */
function rootKeyOf(
  of: Pick<TurnContext, 'store' | 'kms' | 'lossFeed'>,
): Pick<EpochPowers, 'rootKeyState' | 'foreignRootKey' | 'noteServing' | 'broughtBack'> {
  return {
    rootKeyState: () => readRootKeyState(of),
    async foreignRootKey() {
      try {
        await ownerOf(of, await rootKmsKey(of.store));
        return undefined;
      } catch (error) {
        if (isLetheError(error) && !error.retryable) return error.message;
        throw error;
      }
    },
    noteServing: (isServing) => noteServing(of, isServing),
    broughtBack: () => of.kms.broughtBack(),
  };
}

/** Runs a turn that carries over nothing of what it is to cover. */
function turnJudged(
  deps: TurnContext,
  given: Parameters<EpochPowers['turn']>[0],
): ReturnType<EpochPowers['turn']> {
  const { findLost, ...options } = given;
  if (findLost === undefined) return runTurn(deps, options);
  const findTaken = async () => {
    const lost = await findLost();
    return { lost, judge: createRowJudge(deps, lost) };
  };
  return runTurn(deps, { ...options, findTaken });
}
