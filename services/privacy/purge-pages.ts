/** Sealed pages of what was lost leave the cache: nobody can open them, they need not lie there. */
import { isLetheError } from '../../libs/base/lethe-error.ts';
import type { RequestTarget } from '../../libs/requests/request-store.ts';
import type { Run } from './request-run.ts';

const CONVERSATIONS_PER_READ = 500;

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

async function dropPages(run: Run): Promise<void> {
  const { powers, app, request } = run;
  const { subject, conversation } = request.target;
  if (conversation !== undefined) return powers.cache.drop(app.id, [conversation]);
  if (!takesFromMany(request.target)) return;
  if (subject === undefined) return powers.cache.drop(app.id, 'all');
  for (let after: string | undefined; ; ) {
    const page = { limit: CONVERSATIONS_PER_READ, ...(after !== undefined && { after }) };
    const conversations = await powers.views.conversationsOf(subject, page);
    await powers.cache.drop(app.id, conversations);
    after = conversations.at(-1);
    if (conversations.length < CONVERSATIONS_PER_READ) return;
  }
}

// A profile lies in no page, and what a hold kept was not lost.
const takesFromMany = ({ place, hold }: RequestTarget) => place === undefined && hold === undefined;
