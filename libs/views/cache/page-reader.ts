/**
 * Pages of a conversation, from the cache where they are, else from the views. A page in the cache
 * carries a code over itself and its place: who can write there, but has no key, changes no answer.
 *
 *   HMAC-SHA-256 under the app's index key ‖ the page
 */
import { timingSafeEqual } from 'node:crypto';
import type { AppId, ConversationId } from '../../base/ids.ts';
import { isLetheError } from '../../base/lethe-error.ts';
import { recordCodec } from '../../codec/avro.ts';
import type { HmacKey } from '../../codec/hash.ts';
import { labels } from '../../codec/labels.ts';
import type { AppKeys } from '../../keyring/app-keys.ts';
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
  /** It is shorter than was asked for, as it would be too many bytes: there may be more. */
  readonly isCut: boolean;
  /** Of its records. */
  readonly bytes: number;
}

/** Reads pages of conversations. Failures: of `ViewReader` and `AppKeys`, none of the cache. */
export interface PageReader {
  page(
    page: { app: AppId; conversation: string },
    request: PageRequest,
    from?: 'views',
  ): Promise<MessagePage>;
}

interface CachedPage {
  readonly messages: readonly Omit<MessageView, 'conversation'>[];
  readonly changes: readonly ChangeView[];
}

const CODE_BYTES = 32;
const codec = recordCodec<CachedPage>('CachedPage');

/** Opens the pages of these views. */
export function createPageReader({
  views,
  cache,
  keys,
}: {
  keys: Pick<AppKeys, 'indexKey'>;
  views: Pick<ViewReader, 'version' | 'messages' | 'changes'>;
  cache: ViewCache;
}): PageReader {
  return {
    async page({ app, conversation }, request, from) {
      // Read before the page: what is written meanwhile is under a later version.
      const version = await views.version(conversation);
      const key = version && { app, conversation, version, page: nameOf(request) };
      const kept = key && from !== 'views' ? await readKept(cache, keys, key) : undefined;
      if (kept) return kept;
      const page = await readWithin(views, conversation, request);
      const index = key && !page.isCut && (await keys.indexKey(app));
      if (key && index && page.bytes < cache.pageBytesMax) {
        const bytes = codec.encodeTagged(page);
        // Nobody waits for it.
        void cache.put(key, Buffer.concat([codeOf(index, key, bytes), bytes]));
      }
      return page;
    },
  };
}

/** As many messages as the bound of bytes allows, with what changed them; one at least. */
async function readWithin(
  views: Pick<ViewReader, 'messages' | 'changes'>,
  conversation: string,
  request: PageRequest,
): Promise<MessagePage> {
  const { bytesMax = Number.POSITIVE_INFINITY, after } = request;
  let messages = await views.messages(conversation, request);
  let isCut = sizeOf({ messages, changes: [] }) >= bytesMax;
  for (;;) {
    const ids = messages.map(({ message }) => message);
    const isLast = messages.length <= 1;
    // Of the last one all is read that is shown: how much that can be is bounded by itself.
    const bound = isLast ? Number.POSITIVE_INFINITY : bytesMax;
    const changes = await views.changes(ids, { ...SHOWN_CHANGES, bytesMax: bound });
    if (isLast || sizeOf({ messages: [], changes }) < bytesMax) {
      const bytes = sizeOf({ messages, changes });
      return { messages, changes, isCached: false, isCut, bytes };
    }
    isCut = true;
    const half = Math.ceil(messages.length / 2);
    messages = after === undefined ? messages.slice(-half) : messages.slice(0, half);
  }
}

const sizeOf = ({ messages, changes }: CachedPage) =>
  [...messages, ...changes].reduce((sum, { record }) => sum + record.length, 0);

/** Pages that were cut are not kept: a bound of bytes is no part of the name. */
function nameOf({ before = '', after = '', limit }: PageRequest): string {
  return `${before}.${after}.${limit}`;
}

function codeOf(index: HmacKey, place: PageKey, bytes: Buffer): Buffer {
  const { app, conversation, version, page } = place;
  return index.digestFields(labels.cachedPage, [app, conversation, version, page, bytes]);
}

async function readKept(
  cache: ViewCache,
  keys: Pick<AppKeys, 'indexKey'>,
  key: PageKey & { readonly app: AppId },
): Promise<MessagePage | undefined> {
  const coded = await cache.get(key);
  if (coded === undefined || coded.length < CODE_BYTES) return undefined;
  const [code, kept] = [coded.subarray(0, CODE_BYTES), coded.subarray(CODE_BYTES)];
  const index = await keys.indexKey(key.app);
  if (index === undefined || !timingSafeEqual(code, codeOf(index, key, kept))) return undefined;
  try {
    const { messages, changes } = codec.decodeTagged(kept);
    const conversation = key.conversation as ConversationId;
    const bytes = sizeOf({ messages, changes });
    const shown = messages.map((one) => ({ ...one, conversation }));
    return { messages: shown, changes, isCached: true, isCut: false, bytes };
  } catch (error) {
    // Not what was put there; the views know better.
    if (isLetheError(error)) return undefined;
    throw error;
  }
}
