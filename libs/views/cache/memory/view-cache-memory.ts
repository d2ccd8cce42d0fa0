/** Hot pages in this process's memory, bounded in bytes. */
import { LRUCache } from 'lru-cache';
import { PAGE_BYTES_MAX, PAGE_TTL_MS, type PageKey, type ViewCache } from '../view-cache.ts';

interface Kept {
  readonly version: string;
  readonly page: Buffer;
}

const nameOf = ({ app, conversation, page }: PageKey) => `${app}/${conversation}/${page}`;

/** Opens a cache of at most so many bytes; 0: it keeps nothing. */
export function openViewCacheMemory(bytesMax: number): ViewCache {
  const counts = { hits: 0, misses: 0, failures: 0 };
  const pages =
    bytesMax > 0
      ? new LRUCache<string, Kept>({
          maxSize: bytesMax,
          sizeCalculation: ({ page }, name) => page.length + name.length,
          ttl: PAGE_TTL_MS,
          ttlAutopurge: true,
        })
      : undefined;
  return {
    counts,
    pageBytesMax: bytesMax > 0 ? PAGE_BYTES_MAX : 0,
    async get(key) {
      const kept = pages?.get(nameOf(key));
      const isHit = kept?.version === key.version;
      counts[isHit ? 'hits' : 'misses'] += 1;
      return isHit ? kept?.page : undefined;
    },
    async put(key, page) {
      if (page.length > PAGE_BYTES_MAX) return;
      pages?.set(nameOf(key), { version: key.version, page });
    },
    async drop(app, conversations) {
      const prefixes = dropped(app, conversations);
      for (const name of pages?.keys() ?? []) {
        if (prefixes.some((prefix) => name.startsWith(prefix))) pages?.delete(name);
      }
    },
    async close() {
      pages?.clear();
    },
  };
}

function dropped(app: string, conversations: readonly string[] | 'all'): string[] {
  return conversations === 'all' ? [`${app}/`] : conversations.map((one) => `${app}/${one}/`);
}
