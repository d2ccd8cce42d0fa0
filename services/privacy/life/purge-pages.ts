/** Sealed pages of what was lost leave the cache: nobody can open them, they need not lie there. */
import { isLetheError } from '../../../libs/base/lethe-error.ts';
import { kindOf } from '../kinds/kinds.ts';
import type { Run } from '../kinds/run.ts';

/**
 * Drops them, as far as views and cache can be reached: what is left there ends by itself in
 * minutes, and an erasure does not wait for it.
 */
export async function purgePages(run: Run): Promise<void> {
  try {
    await dropPages(run);
  } catch (error) {
    if (!isLetheError(error) || !error.retryable) throw error;
  }
}

async function dropPages({ powers, app, request }: Run): Promise<void> {
  const stale = kindOf(request.kind).stalePages(request.target);
  if (stale === 'none') return;
  if (stale === 'all') return powers.cache.drop(app.id, 'all');
  if ('conversation' in stale) return powers.cache.drop(app.id, [stale.conversation]);
  await powers.cache.drop(app.id, await powers.views.conversationIdsOf(stale.subject));
}
