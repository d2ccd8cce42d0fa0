/** What `lethe erase` and `lethe forget` print. */
import type { Preview } from '../privacy/preview.ts';
import type { PrivacyOutcome } from '../privacy/privacy.ts';
import { CommandEnd, exitCodes, printResult } from './terminal.ts';

/** Prints an outcome, or ends the command with the code of its refusal. */
export function report(
  outcome: PrivacyOutcome,
  isJson: boolean,
  shown: Record<string, unknown>,
  sentence: string,
): void {
  switch (outcome.status) {
    case 'done': {
      const { erasure, t0 } = outcome;
      const { feedNumber, t0Ms, waitedMs, holders } = t0;
      const at = new Date(t0Ms).toISOString();
      const result = {
        status: 'erased',
        erasure,
        ...shown,
        t0: { at, feedNumber, waitedMs, holders },
      };
      const waited = holders.filter(({ how }) => how === 'waited').length;
      const late = waited === 0 ? '' : `, the lease of ${waited} waited out`;
      const asked = `${holders.length} asked${late}`;
      printResult(isJson, result, [
        sentence,
        `no running process can read it since ${at} (${asked})`,
      ]);
      return;
    }
    case 'erased':
      throw new CommandEnd(exitCodes.erased, 'it was erased before');
    case 'notFound':
      throw new CommandEnd(exitCodes.notFound, 'there is nothing of this id');
    case 'refused':
      throw new CommandEnd(exitCodes.refused, outcome.reason);
  }
}

/** Prints what a request would take. */
export function reportPreview(preview: Preview, isJson: boolean): void {
  const { events, messages, conversations, people, neighbours } = preview;
  const count = Object.values(events).reduce((sum, one) => sum + one, 0);
  printResult(isJson, { preview }, [
    `would take ${count} events of ${people} people`,
    `  ${messages} messages in ${conversations} conversations`,
    ...Object.entries(events).map(([type, number]) => `  ${type}: ${number}`),
    ...neighbours.map((id) => `  and message ${id}, whose key lies at the same place`),
    'nothing was changed',
  ]);
}
