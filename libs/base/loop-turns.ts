/**
 * Turns on the event loop. Work over an embedded store never waits for a socket. So hundreds of
 * requests that came at once would be done before a single timer runs. By then the lease on keys
 * has ended, and others have passed this process by. So work waits for its turn, and between two
 * turns timers and sockets come.
 */

/** How long work goes on before it lets others come. */
const TURN_MS = 10;

const waiting: (() => void)[] = [];
let isScheduled = false;
let begunMs = Number.NEGATIVE_INFINITY;

/** Waits for a turn. Whoever asked first comes first. */
export function nextTurn(): Promise<void> {
  return new Promise((resolve) => {
    waiting.push(resolve);
    schedule();
  });
}

/** Waits for another turn if the one that runs has lasted for long enough. */
export async function endLongTurn(): Promise<void> {
  if (performance.now() - begunMs >= TURN_MS) await nextTurn();
}

// One at a time: all that are due in one phase of the loop run without anything between them.
function schedule(): void {
  if (isScheduled) return;
  isScheduled = true;
  setImmediate(() => {
    isScheduled = false;
    begunMs = performance.now();
    waiting.shift()?.();
    if (waiting.length > 0) schedule();
  });
}
