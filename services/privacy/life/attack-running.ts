/**
 * The attack at any time: what the vault's own code cannot open any more of an app's newest
 * conversations is asked for at every running service.
 */

import type { AppId } from '../../../libs/base/ids.ts';
import { decodeSealedEvent, type SealedEvent } from '../../../libs/codec/sealed-event.ts';
import { openEvents } from '../../../libs/keyring/open-events.ts';
import type { PrivacyPowers } from '../../../libs/wiring/powers.ts';
import { type AttackedDoors, attackDoors } from './attack-doors.ts';

/** What was tried, and how many lost messages it was tried with. */
export interface AttackedApp extends AttackedDoors {
  readonly lost: number;
}

const CONVERSATIONS_MAX = 10;
const MESSAGES_MAX = 1_000;

/** Asks for what is lost. Throws EVENT_TAMPERED, VAULT_TAMPERED. */
export async function attackRunning(powers: PrivacyPowers, app: AppId): Promise<AttackedApp> {
  const { views } = powers;
  const events: SealedEvent[] = [];
  for (const { id } of await views.inbox(app, { limit: CONVERSATIONS_MAX })) {
    const newest = await views.messages(id, { limit: MESSAGES_MAX });
    const sealed = newest.map((view) => decodeSealedEvent(view.record));
    const contents = await openEvents(powers, sealed);
    events.push(...sealed.filter((_, i) => contents[i] === undefined));
    for (const content of contents) content?.fill(0);
  }
  const passed = await powers.holders.passHolders();
  const asked = { user: null, isWholeApp: false, events, passed };
  return { lost: events.length, ...(await attackDoors(powers, app, asked)) };
}
