/**
 * Turns on the event loop. Work over an embedded store never waits for a socket. So hundreds of
 * requests that came at once would be done before a single timer runs. By then the lease on keys
 * has ended, and others have passed this process by. So work waits for its turn, and between two
 * turns timers and sockets come.
 */

/** How long work goes on before it lets others come. */
const TURN_MS = 10;

/** Whose work waits, and what of it; whoever had a turn last is last. */
const waiting = new Map<string, (() => void)[]>();
let isScheduled = false;
let begunMs = Number.NEGATIVE_INFINITY;

/**
 * Waits for a turn. Those on whose behalf work is done take turns with each other, however much
 * each of them has brought; of one's own, what came first comes first.
 */
export function nextTurn(whose = ''): Promise<void> {
  return new Promise((resolve) => {
    const own = waiting.get(whose);
    if (own === undefined) waiting.set(whose, [resolve]);
    else own.push(resolve);
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
    takeNext()?.();
    if (waiting.size > 0) schedule();
  });
}

function takeNext(): (() => void) | undefined {
  const [first] = waiting;
  if (first === undefined) return undefined;
  const [whose, own] = first;
  const next = own.shift();
  waiting.delete(whose);
  if (own.length > 0) waiting.set(whose, own);
  return next;
}
