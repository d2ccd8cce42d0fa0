/** Forgets days: one person's from their ring, everybody's (a cut) from the app's. */
import { msToDay } from '../../../libs/base/day.ts';
import { coverDayRange } from '../../../libs/sealing/day-range.ts';
import {
  RETENTION_CLASS_MAX,
  retentionClasses,
  ringKinds,
} from '../../../libs/sealing/tree-path.ts';
import { puncture } from './find-thing.ts';
import type { Asked, Kind, TakenFrom } from './kind.ts';
import { recordFact } from './record-loss.ts';
import { type Run, readSubject } from './run.ts';

export const forgetDays: Kind<'forget-days'> = {
  approvals: 0,
  takesFrom,
  certificate: null,
  shred,
  stalePages: ({ subject }) => (subject === undefined ? 'all' : { subject }),
  finish,
  lostEvents: { by: 'target' },
  matcher: async (_powers, _app, { fromDay, toDay, subject, retentionClass: only }) => {
    return ({ owner, occurredAt, retentionClass }) => {
      if (retentionClass === retentionClasses.ageless) return false;
      if (only !== undefined && retentionClass !== only) return false;
      if (subject !== undefined && owner !== subject) return false;
      const day = msToDay(occurredAt);
      return day >= fromDay && day <= toDay;
    };
  },
};

function takesFrom({ app, powers, request }: Run<'forget-days'>): TakenFrom {
  const { subject, fromDay, toDay } = request.target;
  if (subject === undefined) return { days: { fromDay, toDay } };
  return { owners: () => powers.keyringHold.mergedWith(app.id, subject) };
}

/** All classes that age, unless one is named. */
async function shred(run: Run<'forget-days'>, as: Asked): Promise<void> {
  const { app, request } = run;
  const { subject, fromDay, toDay, retentionClass } = request.target;
  const taken = [];
  for (let kind: number = retentionClasses.messages; kind <= RETENTION_CLASS_MAX; kind += 1) {
    if (retentionClass !== undefined && kind !== retentionClass) continue;
    taken.push(...coverDayRange(kind, fromDay, toDay));
  }
  const ref =
    subject === undefined
      ? { app: app.id, kind: ringKinds.app, id: app.id }
      : { app: app.id, kind: ringKinds.owner, id: subject };
  await puncture(run, { ref, taken }, as);
}

async function finish(run: Run<'forget-days'>): Promise<void> {
  const { fromDay, toDay, subject } = run.request.target;
  const days = { fromDay, toDay };
  if (subject === undefined) return recordFact(run, 'DaysForgotten', days);
  const person = await readSubject(run, subject);
  if (person === undefined) return;
  await recordFact(run, 'DaysForgotten', { user: person.value.alias, ...days });
}
