/** Pages of a conversation, from the cache where they are, else from the views. */

import type { ConversationId } from '../../base/ids.ts';
import { isLetheError } from '../../base/lethe-error.ts';
import { recordCodec } from '../../codec/avro.ts';
import {
  type ChangeView,
  type MessageView,
  type PageRequest,
  SHOWN_CHANGES,
  type ViewReader,
} from '../view-store.ts';
import type { PageKey, ViewCache } from './view-cache.ts';

/**
 * Sealed messages in ascending order of position, with what changed them since: all reactions and
 * receipts, and the newest edit of each.
 */
export interface MessagePage {
  readonly messages: readonly MessageView[];
  readonly changes: readonly ChangeView[];
  /** From the cache: what does not open out of it is to be read from the views. */
  readonly isCached: boolean;
}

/** Reads pages of conversations. Failures: those of `ViewReader`, none of the cache. */
export interface PageReader {
  page(
    page: { app: string; conversation: string },
    request: PageRequest,
    from?: 'views',
  ): Promise<MessagePage>;
}

interface CachedPage {
  readonly messages: readonly Omit<MessageView, 'conversation'>[];
  readonly changes: readonly ChangeView[];
}

const codec = recordCodec<CachedPage>('CachedPage');

/** Opens the pages of these views. */
export function createPageReader({
  views,
  cache,
}: {
  views: Pick<ViewReader, 'version' | 'messages' | 'changes'>;
  cache: ViewCache;
}): PageReader {
  return {
    async page({ app, conversation }, request, from) {
      // Read before the page: what is written meanwhile is under a later version.
      const version = await views.version(conversation);
      const key = version && { app, conversation, version, page: nameOf(request) };
      const kept = key && from !== 'views' ? await readKept(cache, key) : undefined;
      if (kept) return kept;
      const messages = await views.messages(conversation, request);
      const ids = messages.map(({ message }) => message);
      const changes = await views.changes(ids, SHOWN_CHANGES);
      const page = { messages, changes, isCached: false };
      // Nobody waits for it.
      if (key && sizeOf(page) < cache.pageBytesMax) void cache.put(key, codec.encodeTagged(page));
      return page;
    },
  };
}

const sizeOf = ({ messages, changes }: CachedPage) =>
  [...messages, ...changes].reduce((sum, { record }) => sum + record.length, 0);

function nameOf({ before = '', after = '', limit }: PageRequest): string {
  return `${before}.${after}.${limit}`;
}

async function readKept(cache: ViewCache, key: PageKey): Promise<MessagePage | undefined> {
  const kept = await cache.get(key);
  if (kept === undefined) return undefined;
  try {
    const { messages, changes } = codec.decodeTagged(kept);
    const conversation = key.conversation as ConversationId;
    const isCached = true;
    return { messages: messages.map((one) => ({ ...one, conversation })), changes, isCached };
  } catch (error) {
    // Not what was put there; the views know better.
    if (isLetheError(error)) return undefined;
    throw error;
  }
}
