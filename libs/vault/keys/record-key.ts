/**
 * The key of the codes of the log's records. It opens nothing: whoever has it can write events that
 * nobody can open. The projector has it too, out of the views.
 */
import { numberedId } from '../rows/key-slots.ts';
import { rowKinds } from '../rows/vault-store.ts';
import type { KeyHierarchy, SparedIds } from './key-hierarchy.ts';

// Beside the key of the lists that decide (1 and 3) and that of the feed (2).
const RECORD_KEY: SparedIds = { id: numberedId(4), spareId: numberedId(5) };

/** A copy of the key, 32 bytes; it is made at the first use. Throws as `StoreMac` does. */
export async function readRecordKey(hierarchy: Pick<KeyHierarchy, 'sparedKey'>): Promise<Buffer> {
  const { bytes } = await hierarchy.sparedKey(rowKinds.accessKey, RECORD_KEY);
  return Buffer.from(bytes);
}
