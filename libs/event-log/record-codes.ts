/**
 * Codes of records. Whoever may append to a log on a broker can send what looks like an event of
 * anybody, as ids lie in clear there. So each record carries a code, and what carries none of this
 * store's is no event: no view shows it, and nothing is told or removed by it.
 *
 *   the first 16 bytes of HMAC-SHA-256 under the store's key of records
 *   over label ‖ lp(key) ‖ lp(value)
 */
import { timingSafeEqual } from 'node:crypto';
import { LetheError } from '../base/lethe-error.ts';
import { HmacKey } from '../codec/hash.ts';
import { labels } from '../codec/labels.ts';
import type { EventLog, LogRecord } from './event-log.ts';

const CODE_BYTES = 16;

/** The codes of one store's records. */
export interface RecordCodes {
  /** Loads the key, before anything else. Throws what its place throws. */
  ready(): Promise<void>;
  of(record: Pick<LogRecord, 'key' | 'value'>): Buffer;
  isOwn(record: LogRecord): boolean;
  /** Loads the key once more; true: it is another one now. */
  reload(): Promise<boolean>;
}

/** Opens them; `load` gives the key's 32 bytes, which are kept as long as the process runs. */
export function createRecordCodes(load: () => Promise<Buffer>): RecordCodes {
  let bytes: Buffer | undefined;
  let key: HmacKey | undefined;
  const reload = async () => {
    const loaded = await load();
    if (bytes?.equals(loaded)) return false;
    bytes = loaded;
    key = new HmacKey(loaded);
    return true;
  };
  const codeOf = (record: Pick<LogRecord, 'key' | 'value'>): Buffer => {
    if (key === undefined) throw new LetheError('INVARIANT_BROKEN', 'no key of records was loaded');
    const fields = [record.key, record.value];
    return key.digestFields(labels.logRecord, fields).subarray(0, CODE_BYTES);
  };
  return {
    async ready() {
      if (key === undefined) await reload();
    },
    of: codeOf,
    isOwn(record) {
      const { code } = record;
      return code?.length === CODE_BYTES && timingSafeEqual(code, codeOf(record));
    },
    reload,
  };
}

/** A log whose records carry codes and are known by them; one that nobody else writes, as it is. */
export function withCodes(log: EventLog, codes: RecordCodes): EventLog {
  if (!log.isOpenToOthers) return log;
  return {
    ...log,
    codes,
    async append(records) {
      await codes.ready();
      return log.append(records.map((record) => ({ ...record, code: codes.of(record) })));
    },
    async read(...place) {
      await codes.ready();
      return log.read(...place);
    },
    async follow(options) {
      await codes.ready();
      return log.follow(options);
    },
  };
}
