/**
 * Events on a log that is newer than a restored vault: they are sealed under rings that were made
 * after the backup, and nothing opens them any more.
 */

import { isLetheError } from '../../libs/base/lethe-error.ts';
import { decodeRecord } from '../../libs/codec/event-record.ts';
import { isTombstone, type PlacedRecord } from '../../libs/event-log/event-log.ts';
import { readLog } from '../../libs/event-log/read-log.ts';
import { eventRingRefs } from '../../libs/keyring/event-sealer.ts';
import { collectRefs, type RingRef, ringRefToKey } from '../../libs/keyring/ring.ts';
import type { PrivacyPowers } from '../../libs/wiring/powers.ts';

type Powers = Pick<PrivacyPowers, 'log' | 'keyring'>;

/** How many of the log's records they are; they are removed from it if that is asked for. */
export async function findNewerEvents(
  powers: Powers,
  isRemoval: boolean,
  onProgress: (text: string) => void,
): Promise<{ newer: number; looked: number }> {
  const { log } = powers;
  let [looked, count] = [0, 0];
  for await (const records of readLog(log)) {
    const newer = await withoutRings(powers, records);
    if (isRemoval && newer.length > 0) await log.remove(newer);
    count += newer.length;
    looked += records.length;
    onProgress(`${looked} events of the log looked at`);
  }
  return { newer: count, looked };
}

async function withoutRings(
  { keyring }: Powers,
  records: readonly PlacedRecord[],
): Promise<PlacedRecord[]> {
  const used = records.map((record) => ({ record, refs: refsOf(record) }));
  const refs = collectRefs(used.flatMap((one) => one.refs));
  const absent = await keyring.use([...refs.values()], async (outcomes) => {
    return new Set([...refs.keys()].filter((_, i) => outcomes[i] === 'absent'));
  });
  const isNewer = (own: readonly RingRef[]) => own.some((ref) => absent.has(ringRefToKey(ref)));
  return used.flatMap(({ record, refs: own }) => (isNewer(own) ? record : []));
}

/** What cannot be read is a matter of its own: `lethe doctor` tells. */
function refsOf(record: PlacedRecord): RingRef[] {
  if (isTombstone(record)) return [];
  try {
    return eventRingRefs(decodeRecord(record.key, record.value).header);
  } catch (error) {
    if (isLetheError(error)) return [];
    throw error;
  }
}
