/** The rows of a feed entry as bytes: app 16 ‖ kind u8 ‖ id 16 of each; one zero: everything. */
import type { AppId } from '../../base/ids.ts';
import type { RowKind } from '../rows/vault-store.ts';
import type { FeedEntry } from './feed-store.ts';

const ROW_BYTES = 33;

export function encodeFeedRows(rows: FeedEntry['rows']): Buffer {
  if (rows === 'everything') return Buffer.alloc(1);
  return Buffer.concat(
    rows.flatMap(({ app, kind, id }) => [
      Buffer.from(app, 'hex'),
      Buffer.from([kind]),
      Buffer.from(id, 'hex'),
    ]),
  );
}

export function decodeFeedRows(stored: Uint8Array): FeedEntry['rows'] {
  const bytes = Buffer.from(stored);
  // Bytes that nobody has written so fail their code; until then they are not to be understood.
  if (bytes.length % ROW_BYTES !== 0) return 'everything';
  return Array.from({ length: bytes.length / ROW_BYTES }, (_, i) => {
    const at = i * ROW_BYTES;
    return {
      app: bytes.toString('hex', at, at + 16) as AppId,
      kind: bytes[at + 16] as RowKind,
      id: bytes.toString('hex', at + 17, at + ROW_BYTES),
    };
  });
}
