/** What `lethe erase` and `lethe forget` print. */

import type { PrivacyOutcome } from '../../privacy/doors/privacy.ts';
import type { AttackReport } from '../../privacy/life/attack.ts';
import type { Certified } from '../../privacy/life/certificate.ts';
import type { Preview } from '../../privacy/life/preview.ts';
import {
  CommandEnd,
  type ExitCode,
  exitCodes,
  printResult,
  printText,
  resultText,
  visible,
} from '../terminal.ts';

/** Prints an outcome, or ends the command with the code of its refusal. */
export function report(
  outcome: PrivacyOutcome,
  isJson: boolean,
  shown: Record<string, unknown>,
  sentence: string,
): void {
  switch (outcome.status) {
    case 'done': {
      const { erasure, t0, attack, certificate } = outcome;
      const { t0Ms, waitedMs, holders } = t0;
      const at = new Date(t0Ms).toISOString();
      const result = {
        status: 'erased',
        erasure,
        ...shown,
        t0: { at, waitedMs, holders },
        ...(attack && { attack }),
        ...(certificate && certificateFields(certificate)),
      };
      const waited = holders.filter(({ how }) => how === 'waited').length;
      const late = waited === 0 ? '' : `, the lease of ${waited} waited out`;
      const asked = `${holders.length} asked${late}`;
      printResult(isJson, result, [
        sentence,
        `no running process can read it since ${at} (${asked})`,
        ...attackLines(attack),
        ...(certificate ? certificateLines(certificate) : []),
      ]);
      return;
    }
    case 'failed':
      throw outcome.failure;
    default:
      throw new CommandEnd(...whyNotDone(outcome));
  }
}

/** The exit code and the sentence of what was not done. */
export function whyNotDone(
  outcome: Exclude<PrivacyOutcome, { status: 'done' }>,
): [ExitCode, string] {
  switch (outcome.status) {
    case 'failed':
      return [exitCodes.failed, 'not finished, it is tried again by the privacy service'];
    case 'refused':
      return [exitCodes.refused, outcome.reason];
    case 'erased':
      return [exitCodes.erased, 'it was erased before'];
    case 'notFound':
      return [exitCodes.notFound, 'there is nothing of this id'];
  }
}

function attackLines(attack: AttackReport | undefined): string[] {
  if (attack === undefined) return [];
  const { events, rings, services } = attack;
  const requests = services.reduce((sum, one) => sum + one.requests, 0);
  return [
    `attacked: ${events.opened} of ${events.tried} captured events open; ` +
      `${services.length} running services gave nothing to ${requests} requests; ` +
      (rings.tried === 0
        ? 'no ring could be captured before the fence: older copies may open until T1'
        : `${rings.openUntilT1} of ${rings.tried} captured rings open until T1`),
  ];
}

/** What is printed of a certificate as JSON. */
export function certificateFields({ file, publicKey, salt }: Certified) {
  return { certificate: file, publicKey: publicKey.file, publicKeyId: publicKey.keyId, salt };
}

/** What people are told of a certificate, with the salt that they are to hand out. */
export function certificateLines({ file, publicKey, salt }: Certified): string[] {
  const handOut = salt === null ? [] : [`salt to hand out, kept nowhere: ${salt}`];
  return [
    `certificate: ${file}`,
    `verified with: ${publicKey.file}`,
    `SHA-256 of that key: ${publicKey.keyId}`,
    ...handOut,
  ];
}

/** Whom a preview is about, for who has to be sure that it is the right person. */
export interface PreviewedPerson {
  readonly subjectId: string;
  readonly displayName: string | null;
  readonly identities: readonly { readonly channel: string; readonly externalId: string }[];
}

/** Prints what a request would take. */
export function reportPreview(preview: Preview, isJson: boolean): void {
  printText(previewText(preview, isJson));
}

/** What a request would take; of a person, with whom it is about. */
export function previewText(preview: Preview, isJson: boolean, person?: PreviewedPerson): string {
  const { events, messages, conversations, people, neighbours, behind } = preview;
  const count = Object.values(events).reduce((sum, one) => sum + one, 0);
  return resultText(isJson, { ...person, preview }, [
    ...(person === undefined ? [] : [personLine(person)]),
    `would take ${count} events of ${people} people`,
    `  ${messages} messages in ${conversations} conversations`,
    ...Object.entries(events).map(([type, number]) => `  ${type}: ${number}`),
    ...neighbours.map((id) => `  and message ${id}, whose key lies at the same place`),
    ...(behind > 0
      ? [`not counted: ${behind} records of the log that the views have not yet`]
      : []),
    'nothing was changed',
  ]);
}

function personLine({ subjectId, displayName, identities }: PreviewedPerson): string {
  const known = identities.map(({ channel, externalId }) => `${channel} ${visible(externalId)}`);
  const name = displayName === null ? 'no name' : visible(displayName);
  return `${subjectId}: ${[name, ...known].join(', ')}`;
}
