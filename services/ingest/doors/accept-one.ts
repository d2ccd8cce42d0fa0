/** One command of the REST interface: its positions on the log, or the answer that refuses it. */
import type { AppId } from '../../../libs/base/ids.ts';
import type { LogPosition } from '../../../libs/event-log/event-log.ts';
import type { HandedAnswers } from '../../../libs/http/handed-answers.ts';
import { HttpError } from '../../../libs/http/http-error.ts';
import type { IngestPowers } from '../../../libs/wiring/powers.ts';
import type { Ingest } from '../ingest.ts';
import type { Command, Outcome } from '../plan/ingest-item.ts';

const STATUSES: Readonly<Record<string, number>> = {
  conversation_not_found: 404,
  user_not_found: 404,
  person_changing: 503,
};

/** Accepts a command and gives its outcome; refusals are thrown as HTTP errors. */
export async function acceptCommand(
  ingest: Ingest,
  app: AppId,
  command: Command,
): Promise<Extract<Outcome, { status: 'accepted' }>> {
  const [outcome] = await ingest.accept(app, [command]);
  return throwRefusal(outcome!);
}

/** An accepted outcome; any other is thrown as an HTTP error. */
export function throwRefusal(outcome: Outcome): Extract<Outcome, { status: 'accepted' }> {
  switch (outcome.status) {
    case 'accepted':
      return outcome;
    case 'rejected': {
      const { code, title } = outcome.error;
      throw new HttpError(STATUSES[code] ?? 400, code, title);
    }
    default:
      throw new HttpError(404, 'erased', 'What this is about was erased');
  }
}

/** Accepts a command whose answer repeats nothing of it; where its events lie. */
export async function acceptOne(
  ingest: Ingest,
  app: AppId,
  command: Command,
): Promise<LogPosition[]> {
  return (await acceptCommand(ingest, app, command)).positions;
}

/** A request whose answer repeats what it says. */
export interface Repeating {
  readonly request: object;
  readonly answers: HandedAnswers;
  readonly powers: IngestPowers;
}

/**
 * Accepts a command that the answer repeats: the answer is taken back if what it says is erased
 * before the client has it. Gives the outcome, with where its events lie.
 */
export async function acceptRepeated(
  { request, answers, powers }: Repeating,
  ingest: Ingest,
  app: AppId,
  command: Command,
): Promise<Extract<Outcome, { status: 'accepted' }>> {
  const accepted = await acceptCommand(ingest, app, command);
  answers.repeats(request, powers, accepted.headers);
  return accepted;
}
