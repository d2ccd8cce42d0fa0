/**
 * Judges rows that a turn is about to wrap anew. Who writes old rows back, while the keys that wrap
 * them are still there, could have them carried over, and put them aside for later. So each row is
 * judged by its bytes as they are wrapped, however short a time it lies there.
 */
import type { HoldId } from '../../base/ids.ts';
import { isLetheError } from '../../base/lethe-error.ts';
import type { RingRef } from '../../keyring/ring.ts';
import type { Taken } from '../../keyring/ring-material.ts';
import type { WrappingKey } from '../../keyring/wrapping-key.ts';
import { conversationCodec, directoryRow, referenceCodec } from '../directory/directory-table.ts';
import type { VaultContext } from '../keys/vault-context.ts';
import { isTakenFrom } from '../rings/ring-parts.ts';
import { openRingRow, RING_KINDS, ringRefOf, ringText } from '../rings/vault-rings.ts';
import { rowKeyToText, rowKinds, rowStates, type VaultRow } from '../rows/vault-store.ts';
import { openRow } from '../rows/wrapped-row.ts';
import type { Judgement, LostRing, RowJudge } from '../turn/turn-run.ts';

/** What was taken that a turn is to cover. */
export interface TakenRing extends LostRing {
  /**
   * All of this id, parts of its ring, or a hold with what was kept for it; undefined: it may be
   * being taken yet.
   */
  readonly taken?:
    | 'all'
    | { readonly ring: RingRef; readonly parts: readonly Taken[] }
    | { readonly hold: HoldId };
}

type Deps = Pick<VaultContext, 'store' | 'apps' | 'randomness'>;

/** Makes a judge who knows what was taken. */
export function createRowJudge(deps: Deps, lost: readonly TakenRing[]): RowJudge {
  const ended = new Set<string>();
  const appsOfEnded = new Set<string>();
  const released = new Set<string>();
  const parts = new Map<string, Taken[]>();
  for (const { app, id, taken } of lost) {
    if (taken === undefined) continue;
    if (typeof taken === 'object' && 'hold' in taken) {
      released.add(`${app} ${taken.hold}`);
      continue;
    }
    if (taken === 'all') {
      ended.add(`${app} ${id}`);
      appsOfEnded.add(app);
      continue;
    }
    const name = ringText(taken.ring);
    parts.set(name, [...(parts.get(name) ?? []), ...taken.parts]);
  }
  const isEnded = (row: VaultRow, id: string) => ended.has(`${row.app} ${id}`);

  async function judgeRing(row: VaultRow, key: WrappingKey): Promise<Judgement> {
    const isReleased = row.holds.some((hold) => released.has(`${row.app} ${hold}`));
    if (isReleased || isEnded(row, row.id)) return 'takeAgain';
    const taken = parts.get(rowKeyToText(row));
    if (taken === undefined) return 'carry';
    const material = openRingRow(row, key);
    if (material === 'erased') return 'carry';
    try {
      return (await isTakenFrom(deps, ringRefOf(row), { material, taken })) ? 'carry' : 'takeAgain';
    } catch (error) {
      // Its segments went when parts of it were taken: with copies of them it would open again.
      if (isLetheError(error, 'SEGMENT_MISSING')) return 'leave';
      if (isLetheError(error, 'VAULT_TAMPERED')) return 'leave';
      throw error;
    }
  }

  /** A name or a conversation of somebody who is gone. */
  async function leadsToEnded(row: VaultRow, key: WrappingKey): Promise<boolean> {
    const plain = openRow(row, key);
    if (plain === 'erased') return false;
    switch (row.kind) {
      case rowKinds.identity:
      case rowKinds.alias:
        return isEnded(row, referenceCodec.decodeTagged(plain).target);
      case rowKinds.externalConversation:
        return isGone(row, referenceCodec.decodeTagged(plain).target);
      case rowKinds.conversation: {
        const { person } = conversationCodec.decodeTagged(plain);
        return person !== null && isEnded(row, person);
      }
      // Memberships stay: those of a group are a chain.
      default:
        return false;
    }
  }

  /** Is a conversation gone that something still leads to? */
  async function isGone({ app }: VaultRow, conversation: string): Promise<boolean> {
    const found = await deps.apps.find(app);
    if (found === undefined) return true;
    const key = directoryRow(found, rowKinds.conversation, conversation);
    const [entry] = await deps.store.versions([key]);
    return entry === undefined || entry.state === rowStates.erased;
  }

  return async (row, key) => {
    if (row.state === rowStates.erased) return 'carry';
    if (RING_KINDS.includes(row.kind)) return judgeRing(row, key);
    if (row.kind === rowKinds.hold && released.has(`${row.app} ${row.id}`)) return 'remove';
    if (!appsOfEnded.has(row.app)) return 'carry';
    if (isEnded(row, row.id)) return 'takeAgain';
    return (await leadsToEnded(row, key)) ? 'remove' : 'carry';
  };
}
