/**
 * The event key, composed of three trees so that losing any one loses the key (SP 800-56C one-step
 * derivation; Giacon-Heuer-Poettering 2018):
 *
 *   app part  = SHA-256(label ‖ app day seed ‖ owner id)
 *   event key = SHA-256(label ‖ purpose ‖ cipher ‖ app part ‖ owner day seed ‖ thing leaf ‖
 *                       event id)
 */
import { labels } from '../codec/labels.ts';
import { digestWork, workArea } from './sha256-block.ts';

/** What a key is for. Attachments (2) will have keys of their own. */
export const purposes = { content: 1 } as const;

/** Writes the app part of (app day seed, owner id of 16 bytes) into `target` at `at`. */
export function writeAppPart(
  appDaySeed: Uint8Array,
  owner: Uint8Array,
  target: { bytes: Uint8Array; at: number },
): void {
  workArea.set(labels.appPart, 0);
  for (let i = 0; i < 32; i += 1) workArea[16 + i] = appDaySeed[i]!;
  for (let i = 0; i < 16; i += 1) workArea[48 + i] = owner[i]!;
  digestWork(64, target.bytes, target.at);
}

/** What an event key is made of; every field has a fixed length. */
export interface EventKeyParts {
  readonly purpose: number;
  readonly cipher: number;
  readonly appPart: Uint8Array;
  readonly ownerDaySeed: Uint8Array;
  readonly thingLeaf: Uint8Array;
  readonly eventId: Uint8Array;
}

/** Writes the 32-byte event key into `target`. */
export function writeEventKey(parts: EventKeyParts, target: Uint8Array): void {
  workArea.set(labels.eventKey, 0);
  workArea[16] = parts.purpose;
  workArea[17] = parts.cipher;
  for (let i = 0; i < 32; i += 1) {
    workArea[18 + i] = parts.appPart[i]!;
    workArea[50 + i] = parts.ownerDaySeed[i]!;
    workArea[82 + i] = parts.thingLeaf[i]!;
  }
  for (let i = 0; i < 16; i += 1) workArea[114 + i] = parts.eventId[i]!;
  digestWork(130, target, 0);
}
