/**
 * What the list of erasures says of requests whose rows are open. Rows can be written back as they
 * were at any time of theirs; the list only grows.
 */
import type { RequestId } from '../../../libs/base/ids.ts';
import { type ErasureList, takenOf } from '../../../libs/requests/erasure-list.ts';
import type { PrivacyRequest } from '../../../libs/requests/request.ts';
import { LIST_START } from '../../../libs/vault/keys/list-heads.ts';

/** `refused`: it is not to be carried out. `taken`: it has taken what it takes. */
export type Standing = 'refused' | 'taken' | 'open';

/** Tells how open requests stand. Failures: those of the list. */
export interface ListWatch {
  /**
   * One that nobody has begun has taken nothing: those of channels alone are recorded so, and what
   * they take can be taken again. Throws as well when the list is not whole.
   */
  standingOf(requests: readonly PrivacyRequest[]): Promise<Standing[]>;
}

/** Begins to watch; what was read once is not read again, but for requests that are met anew. */
export function createListWatch(
  erasures: Pick<ErasureList, 'read' | 'at' | 'assertOwn'>,
): ListWatch {
  let last = LIST_START;
  const refused = new Set<RequestId>();
  // Of all that have taken, only those that were asked about are remembered.
  const hasTaken = new Map<RequestId, boolean>();

  async function readOn(): Promise<void> {
    const added = await erasures.read(last);
    last = (await erasures.at(last.number + added.length)) ?? last;
    for (const { id, kind } of added) if (kind === 'withdrawn') refused.add(id);
    for (const id of takenOf(added)) if (hasTaken.has(id)) hasTaken.set(id, true);
  }

  return {
    async standingOf(requests) {
      await erasures.assertOwn();
      await readOn();
      const begun = requests.filter(({ step }) => step !== 'received');
      const unknown = begun.map(({ id }) => id).filter((id) => !hasTaken.has(id));
      const taken = unknown.length === 0 ? new Set<RequestId>() : takenOf(await erasures.read());
      for (const id of unknown) hasTaken.set(id, taken.has(id));
      return requests.map(({ id }) => {
        if (hasTaken.get(id) === true) return 'taken';
        return refused.has(id) ? 'refused' : 'open';
      });
    },
  };
}
