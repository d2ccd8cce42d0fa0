/** The certificate of an erasure, first form: what is claimed, and under which conditions. */

import type { PublicKey } from '../../../libs/audit/certificates.ts';
import type { Statement } from '../../../libs/audit/dsse.ts';
import { DAY_MS } from '../../../libs/base/day.ts';
import { sha256 } from '../../../libs/codec/hash.ts';
import type { PassedHolders } from '../../../libs/keyring/holder-wait.ts';
import { headToText } from '../../../libs/requests/erasure-list.ts';
import type { PrivacyRequest } from '../../../libs/requests/request.ts';
import type { PrivacyPowers } from '../../../libs/wiring/powers.ts';
import { kindOf } from '../kinds/kinds.ts';
import type { AttackReport } from './attack.ts';
import { isAbout, KEY_STORES, PREDICATE_TYPE, subjectName, VAULTS } from './certificate-texts.ts';
import { reclaimDueMs } from './reclaim.ts';

/** A certificate that was issued. */
export interface Certified {
  readonly file: string;
  /** The public key that it is verified with. */
  readonly publicKey: PublicKey;
  /**
   * To be handed to the person: with it, and their user id, they can show that it is theirs. Null:
   * another process has certified it since, and has the salt.
   */
  readonly salt: string | null;
  readonly subject: Statement['subject'];
}

const toIso = (ms: number) => new Date(ms).toISOString();

/** SHA-256(salt ‖ user id, or app id): names nobody to those who have not both. */
export function commitmentOf(salt: string, name: string): string {
  return sha256(Buffer.concat([Buffer.from(salt, 'hex'), Buffer.from(name)])).toString('hex');
}

/** The certificate of this request that was issued before; undefined: there is none. */
export async function issuedBefore(
  { certificates }: Pick<PrivacyPowers, 'certificates'>,
  { id, app, kind }: PrivacyRequest,
): Promise<Certified | undefined> {
  const found = await certificates.find(id);
  if (found === undefined || !isAbout(found.statement, { id, app, kind })) return undefined;
  const publicKey = await certificates.publicKey();
  return { file: found.file, publicKey, salt: null, subject: found.statement.subject };
}

/** Issues it. The salt is not kept. */
export async function certify(
  powers: Pick<
    PrivacyPowers,
    'certificates' | 'clock' | 'engines' | 'erasures' | 'horizonDays' | 'randomness'
  >,
  request: PrivacyRequest,
  done: { name: string; passed: PassedHolders; attack: AttackReport | 'not tried' },
): Promise<Certified> {
  const salt = powers.randomness.fill(Buffer.alloc(32)).toString('hex');
  const commitment = commitmentOf(salt, done.name);
  const erasuresHead = headToText(await powers.erasures.head());
  const statement = statementOf(powers, request, { ...done, commitment, erasuresHead });
  // Before the certificate is there: a failure here must not cost its salt.
  const publicKey = await powers.certificates.publicKey();
  const { id, app, kind } = request;
  const isSame = (issued: Statement) => isAbout(issued, { id, app, kind });
  const { file } = await powers.certificates.issue(id, statement, isSame);
  return { file, publicKey, salt, subject: statement.subject };
}

function statementOf(
  { clock, engines, horizonDays }: Pick<PrivacyPowers, 'clock' | 'engines' | 'horizonDays'>,
  request: PrivacyRequest,
  done: {
    commitment: string;
    passed: PassedHolders;
    attack: AttackReport | 'not tried';
    erasuresHead: string;
  },
): Statement {
  const { t0Ms, holders } = done.passed;
  const keyStore = KEY_STORES[engines.kms];
  const count = (how: string) => holders.filter((holder) => holder.how === how).length;
  return {
    _type: 'https://in-toto.io/Statement/v1',
    subject: [{ name: subjectName(request.id), digest: { sha256: done.commitment } }],
    predicateType: PREDICATE_TYPE,
    predicate: {
      erasure: request.id,
      app: request.app,
      kind: request.kind,
      commitment: kindOf(request.kind).certificate?.commitment,
      requestedAt: toIso(request.receivedAtMs),
      certifiedAt: toIso(clock.nowMs()),
      t0: {
        at: toIso(t0Ms),
        meaning: 'no running process can unseal',
        holders: {
          acknowledged: count('acknowledged'),
          leaseWaitedOut: count('waited'),
          ended: count('left'),
        },
      },
      t1: {
        at: 'pending',
        meaning: 'nobody can, not even with old backups of the vault and the key store of today',
        condition: keyStore.pending,
      },
      reclaim: {
        at: 'pending',
        due: toIso(reclaimDueMs({ doneAtMs: clock.nowMs() }, { horizonDays })),
        meaning: 'sealed events and their headers are removed from log and views',
      },
      // The list goes at least so far: a restore can be held to it.
      erasuresHead: done.erasuresHead,
      keyStore: keyStore.name,
      stores: {
        vault: VAULTS[engines.vault],
        log: 'sealed events, without a key, and their headers under random ids, until reclaim',
        views: 'sealed records, without a key, shown as placeholders, until reclaim',
        backups: 'older copies of log and vault, which this store does not reach',
        ledger: `known deliveries are refused until ${toIso(clock.nowMs() + horizonDays * DAY_MS)}`,
      },
      attack: done.attack,
      notStopped: [
        'plaintext that was delivered before',
        'memory dumps of holders of keys from before T0',
        'words that a service unsealed before T0, in its memory until that is used again',
        keyStore.copies,
      ],
    },
  };
}
