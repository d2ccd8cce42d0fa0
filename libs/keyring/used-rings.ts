/**
 * Which rings an answer was made with: whoever writes the answer looks at them once more, after
 * everything that was unsealed has been put together.
 */
import type { KeyringUse } from './keyring.ts';
import { Ring } from './ring.ts';

/** A keyring for one answer: it knows every ring that was used through it. */
export interface NotedKeyring extends KeyringUse {
  usedRings(): Ring[];
}

/** The same keyring, with a note of what is used through it. */
export function noteRings(keyring: KeyringUse): NotedKeyring {
  const rings = new Set<Ring>();
  return {
    ...keyring,
    use: (refs, work) =>
      keyring.use(refs, (outcomes) => {
        for (const outcome of outcomes) if (outcome instanceof Ring) rings.add(outcome);
        return work(outcomes);
      }),
    usedRings: () => [...rings],
  };
}
