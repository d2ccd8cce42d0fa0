/**
 * What was opened, on standard output. Whoever reads it may be slow, and what the pipe has not
 * taken is this process's still. So nothing waits in a buffer: a slice is given to the pipe at the
 * moment at which all that it was made of stands, or it is not given.
 */
import { writeSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { type NotedUse, noteUse } from '../../libs/keyring/noted-use.ts';
import { allOpenStill } from '../../libs/keyring/open-events.ts';
import type { ReaderPowers } from '../../libs/wiring/powers.ts';
import { CommandEnd, exitCodes } from './terminal.ts';

const STANDARD_OUTPUT = 1;
const SLICE_BYTES = 65_536;
const FULL_WAIT_MS_MAX = 20;
const OPEN_ATTEMPTS_MAX = 5;

/**
 * Opens text and writes it to the end; opens it again if something of it is erased meanwhile.
 * Throws CommandEnd: that happened after a part of it was written, or again and again.
 */
export async function showOpened(
  powers: ReaderPowers,
  open: (powers: ReaderPowers) => Promise<string>,
): Promise<void> {
  for (let attempt = 0; attempt < OPEN_ATTEMPTS_MAX; attempt += 1) {
    const { noted, own } = notedPowers(powers);
    if (await writeOpened(powers, await open(own), noted)) return;
  }
  throw new CommandEnd(exitCodes.failed, 'too much is erased at this moment: ask again');
}

/** Powers whose use is noted. */
export function notedPowers(powers: ReaderPowers): { noted: NotedUse; own: ReaderPowers } {
  const noted = noteUse(powers);
  return { noted, own: { ...powers, keyring: noted.keyring, sealer: noted.sealer } };
}

/**
 * Writes text that was opened through `noted`, to the end. False: something of it does not stand
 * any more, and nothing of it was written. Throws CommandEnd: a part of it was.
 */
export async function writeOpened(
  powers: Pick<ReaderPowers, 'keyring' | 'sealer'>,
  text: string,
  noted: NotedUse,
): Promise<boolean> {
  const { keyring } = powers;
  const bytes = Buffer.from(text);
  let rings = noted.usedRings();
  let waitMs = 1;
  for (let at = 0; at < bytes.length; ) {
    if (!keyring.vouches(rings)) {
      await keyring.renewLease();
      if (!keyring.vouches(rings) && at === 0) return false;
      // A ring may have lost something that is not shown here.
      const again = noteUse(powers);
      if (!(await allOpenStill(again.keyring, noted.openedEvents()))) throw cutOff();
      rings = again.usedRings();
      continue;
    }
    const taken = give(bytes.subarray(at, at + SLICE_BYTES));
    at += taken;
    waitMs = taken > 0 ? 1 : Math.min(2 * waitMs, FULL_WAIT_MS_MAX);
    // Others get their turn, and what is erased is heard of.
    await sleep(taken > 0 ? 0 : waitMs);
  }
  return true;
}

/** How many bytes the pipe takes now: none where it is full. */
function give(slice: Buffer): number {
  try {
    return writeSync(STANDARD_OUTPUT, slice);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EAGAIN') return 0;
    throw error;
  }
}

function cutOff(): CommandEnd {
  const text = 'some of it was erased while it was shown: the output ends before its end';
  return new CommandEnd(exitCodes.erased, text);
}
