/** The rows of a feed entry as bytes: app 16 ‖ kind u8 ‖ id 16 of each. */
import type { AppId } from '../../base/ids.ts';
import type { RowKind } from '../rows/vault-store.ts';
import type { FeedRow } from './feed-store.ts';

const ROW_BYTES = 33;

export function encodeFeedRows(rows: readonly FeedRow[]): Buffer {
  return Buffer.concat(
    rows.flatMap(({ app, kind, id }) => [
      Buffer.from(app, 'hex'),
      Buffer.from([kind]),
      Buffer.from(id, 'hex'),
    ]),
  );
}

export function decodeFeedRows(stored: Uint8Array): FeedRow[] {
  const bytes = Buffer.from(stored);
  return Array.from({ length: bytes.length / ROW_BYTES }, (_, i) => {
    const at = i * ROW_BYTES;
    return {
      app: bytes.toString('hex', at, at + 16) as AppId,
      kind: bytes[at + 16] as RowKind,
      id: bytes.toString('hex', at + 17, at + ROW_BYTES),
    };
  });
}
