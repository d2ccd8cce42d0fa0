/** Looks at many rings that go on where some of them are damaged. */
import { isLetheError, type LetheError } from '../base/lethe-error.ts';

const DAMAGE = ['VAULT_TAMPERED', 'EVENT_TAMPERED', 'SEGMENT_MISSING'] as const;

/** Does a row or an event not authenticate, or is a ring or a part of one missing? */
export function isDamage(error: unknown): error is LetheError {
  return DAMAGE.some((code) => isLetheError(error, code));
}

/** What a look gives; undefined: it met damage, which is named where all rows are looked at. */
export async function passOverDamage<Result>(
  look: () => Promise<Result>,
): Promise<Result | undefined> {
  try {
    return await look();
  } catch (error) {
    if (isDamage(error)) return undefined;
    throw error;
  }
}

/**
 * What a look at items gives, in their order. A damaged ring keeps its own items from being looked
 * at, which give `instead`, and nobody else's. Throws what the look throws else.
 */
export async function lookPastDamage<Item, Result>(
  items: readonly Item[],
  look: (items: readonly Item[]) => Promise<readonly Result[]>,
  instead: (item: Item) => readonly Result[],
): Promise<readonly Result[]> {
  try {
    return await look(items);
  } catch (error) {
    if (!isDamage(error)) throw error;
    const [only, ...others] = items;
    if (only !== undefined && others.length === 0) return instead(only);
  }
  const results: Result[] = [];
  for (const item of items) results.push(...(await lookPastDamage([item], look, instead)));
  return results;
}
