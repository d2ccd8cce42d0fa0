/** What certificates say of the engines that hold keys. */
import type { Statement } from '../../../libs/audit/dsse.ts';
import type { PrivacyRequest } from '../../../libs/requests/request.ts';

/** What is said of the key store, by engine. */
export const KEY_STORES = {
  local: {
    name: 'local key folder',
    pending:
      'the next turn of the epoch, and the end of the keys of stores that this one came from, or ' +
      'that were made of it; holds if no other copy of the old key folder exists',
    reached:
      'holds if no other copy of the old key folder exists, nor a store made of this one under ' +
      'another key folder',
    copies: 'old copies of the vault together with the key folder, until T1',
  },
  'aws-kms': {
    name: 'AWS KMS',
    pending:
      'the next turn of the epoch, and then the deletion of its key, which AWS KMS delays; and ' +
      'the end of the keys of stores that this one came from, or that were made of it',
    reached:
      'AWS KMS does not have the key of that epoch any more; holds if no store was made of this ' +
      'one under another KMS',
    copies:
      'old copies of the vault in the hands of somebody who cancels the deletion of its KMS key, ' +
      'until T1',
  },
} as const;
/** What was done in the vault, by engine. */
export const VAULTS = {
  sqlite: 'rings replaced by fences, directory rows removed, file overwritten and truncated',
  cassandra:
    'rings replaced by fences, directory rows removed; Cassandra keeps their wrapped bytes until ' +
    'it compacts, and T1 does not rest on that',
} as const;

/** The condition of a T1 that has come, by the key store that the certificate names. */
export function t1Condition(keyStore: unknown): string {
  const { local, 'aws-kms': aws } = KEY_STORES;
  return (keyStore === aws.name ? aws : local).reached;
}

/** What a certificate of Lethe claims: the type of its predicate. */
export const PREDICATE_TYPE = 'urn:lethe:erasure:v1';

/** Is a statement the certificate of this erasure? Its file's name alone proves nothing. */
export function isAbout(
  { subject, predicate, predicateType }: Statement,
  { id, app, kind }: Pick<PrivacyRequest, 'id' | 'app' | 'kind'>,
): boolean {
  return (
    predicateType === PREDICATE_TYPE &&
    subject.length === 1 &&
    subject[0]!.name === subjectName(id) &&
    predicate.erasure === id &&
    predicate.app === app &&
    predicate.kind === kind
  );
}

/** The name of what a certificate is about. */
export const subjectName = (id: string) => `erasure ${id}`;
