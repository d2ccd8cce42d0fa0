/**
 * Where holders of keys answer requests, signed by a key of the store. Rows of holders lie in
 * clear: whoever can write there, but has no key, must not have the attack's questions sent on.
 */
import { labels } from '../../codec/labels.ts';
import { isSameMac, type StoreMac } from '../../keyring/store-mac.ts';

const FORM = /^(\S+) ([0-9a-f]{64})$/;

/** What is written for a holder: the door, and its code. */
export async function signDoor(mac: StoreMac, holder: string, door: string): Promise<string> {
  return `${door} ${await mac.mac(labels.door, [holder, door])}`;
}

/** The door that a row names; undefined: no holder of keys has written it. */
export async function readDoor(
  mac: StoreMac,
  holder: string,
  text: string,
): Promise<string | undefined> {
  const [, door, code] = FORM.exec(text) ?? [];
  if (door === undefined) return undefined;
  return isSameMac(code!, await mac.mac(labels.door, [holder, door])) ? door : undefined;
}
