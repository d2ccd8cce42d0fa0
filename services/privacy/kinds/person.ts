/** A person's end: their rings, and those of whoever was merged with them; then their names. */

import type { SubjectId } from '../../../libs/base/ids.ts';
import { isDamage } from '../../../libs/keyring/past-damage.ts';
import { ringKinds } from '../../../libs/sealing/tree-path.ts';
import { endForsakenGroup, furtherFact } from './end-group.ts';
import type { Asked } from './kind.ts';
import { recordLoss } from './record-loss.ts';
import { personalConversations, type Run, readSubject } from './run.ts';

type PersonRun = Run<'erase-subject' | 'merge-subjects'>;

/** Their own ring first: a hold on it refuses all else. Then whoever was merged with them. */
export async function shredPerson(run: PersonRun, as: Asked = 'asked'): Promise<void> {
  const { app, request, powers } = run;
  const { keyringShred, keyringHold } = powers;
  const everybody: SubjectId[] = [request.target.subject, ...mergedOf(run)];
  const failures: unknown[] = [];
  // A row that does not authenticate keeps nobody else from going.
  const attempt = async (work: () => Promise<void>) => {
    await work().catch((error) => {
      if (!isDamage(error)) throw error;
      failures.push(error);
    });
  };
  for (const [i, id] of everybody.entries()) {
    // A hold can refuse the first, before anything went; from then on the erasure has won.
    const evenHeld = i > 0 || as === 'restored' ? 'evenHeld' : undefined;
    const own = [{ app: app.id, kind: ringKinds.owner, id }];
    await attempt(() => keyringShred.shred(own, request.loss, evenHeld));
    // As the fence has them: a merge that came before it is in it, a later one finds the fence.
    await attempt(async () => {
      for (const other of await keyringHold.mergedWith(app.id, id)) {
        if (!everybody.includes(other)) everybody.push(other);
      }
    });
    await attempt(() => shredPlaces(run, id));
  }
  if (failures.length > 0) throw failures[0];
}

/** Whom the target names beside the person. */
function mergedOf({ request }: PersonRun): readonly SubjectId[] {
  return 'merged' in request.target ? (request.target.merged ?? []) : [];
}

/** The places of a person's profile, record and personal conversations. */
async function shredPlaces(run: PersonRun, id: SubjectId): Promise<void> {
  const { app, request, powers } = run;
  const subject = await readSubject(run, id);
  if (subject === undefined) return;
  const { value } = subject;
  const conversations = await personalConversations(run, subject);
  const places = [
    value.profilePlace,
    value.recordPlace,
    ...conversations.flatMap((one) => [one.value.messagePlace, one.value.profilePlace]),
  ];
  const refs = places.map((place) => ({ app: app.id, kind: ringKinds.place, id: place }));
  await powers.keyringShred.shred(refs, request.loss);
}

/** Whoever was merged with the person goes too; the person's own row goes last. */
export async function finishPerson(run: PersonRun): Promise<void> {
  const { app, powers, request } = run;
  const merged = await powers.keyringHold.mergedWith(app.id, request.target.subject);
  const all = new Set([...merged, ...mergedOf(run)]);
  for (const id of [...all].reverse()) await removeNames(run, id);
}

/**
 * A person's own row leads to all else and goes last: as long as it is there, every step can be
 * repeated; when it is gone, all was done.
 */
async function removeNames(run: PersonRun, id: SubjectId): Promise<void> {
  const { powers, app, request } = run;
  const { directoryShred } = powers;
  const subject = await readSubject(run, id);
  if (subject === undefined) return;
  const { value } = subject;
  // Their subject id would tie the fact to headers for whoever tries all ids of the log.
  const isOwn = id === request.target.subject;
  const fact = isOwn ? request.id : furtherFact(request.id, value.alias);
  const content = { user: value.alias };
  await recordLoss(powers, app, { id: fact, type: 'SubjectErased', content });
  for (const group of value.groups) await endForsakenGroup(run, group);
  await directoryShred.removeIdentities(app, subject);
  for (const one of await personalConversations(run, subject)) {
    await directoryShred.removeConversation(app, one);
  }
  await directoryShred.markAlias(app, subject);
  if (await directoryShred.removeSubject(app, subject)) return;
  // A conversation that was made meanwhile is in a newer row: then all is done once more.
  await shredPerson(run);
  await powers.holders.passHolders();
  await removeNames(run, id);
}
