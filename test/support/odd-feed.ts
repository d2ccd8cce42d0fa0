/** The feed of a process that is cut off from it at SIGUSR1, or that stops itself (SIGSTOP). */
import { LetheError } from '../../libs/base/lethe-error.ts';
import type { FeedStore } from '../../libs/vault/feed/feed-store.ts';

/** From the first SIGUSR1 on nothing of the feed is reached; the next one ends that. */
export function cutOffFeed(feed: FeedStore): FeedStore {
  let isCut = false;
  process.on('SIGUSR1', () => {
    isCut = !isCut;
  });
  return overEach(feed, async (_, call) => {
    if (isCut) throw new LetheError('VAULT_UNREACHABLE', 'cut off', { retryable: true });
    return call();
  });
}

/** STOP_AT=fence: stops before the first entry is written; STOP_AT=entry: right after it. */
export function stoppingFeed(feed: FeedStore): FeedStore {
  let at = process.env.STOP_AT;
  const stop = (here: string) => {
    if (at !== here) return;
    at = undefined;
    process.kill(process.pid, 'SIGSTOP');
  };
  return overEach(feed, async (name, call) => {
    if (name === 'append') stop('fence');
    const result = await call();
    if (name === 'append') stop('entry');
    return result;
  });
}

function overEach(
  feed: FeedStore,
  around: (name: string, call: () => Promise<unknown>) => Promise<unknown>,
): FeedStore {
  const wrapped = Object.entries(feed).map(([name, method]) => {
    return [name, (...given: unknown[]) => around(name, () => method.apply(feed, given))];
  });
  return Object.fromEntries(wrapped) as FeedStore;
}
