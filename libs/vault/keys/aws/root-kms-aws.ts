/**
 * The root of the vault in AWS KMS. It is called once per process start and a fixed number of times
 * a turn; contexts hold random ids only, because CloudTrail shows them in clear.
 *
 * https://docs.aws.amazon.com/kms/latest/APIReference/
 */
import {
  CreateAliasCommand,
  CreateKeyCommand,
  DecryptCommand,
  DescribeKeyCommand,
  DisableKeyCommand,
  EncryptCommand,
  type KeyMetadata,
  KMSClient,
  ScheduleKeyDeletionCommand,
} from '@aws-sdk/client-kms';
import type { KeyId } from '../../../base/ids.ts';
import { LetheError } from '../../../base/lethe-error.ts';
import type { AwsKmsEngine } from '../../../engines/engine-urls.ts';
import type { RootKms } from '../root-kms.ts';
import { createKeyMarks, type KeyMark, markTexts, toKeyId, toUuid } from './key-marks-aws.ts';

// With full jitter: a throttled turn ends, only later; who cannot connect hears it in seconds.
const ATTEMPTS_MAX = 8;
const CONTEXT_NAME = 'lethe:row';

/** What is refused for good; everything else may work later. */
const DENIED: readonly string[] = [
  'AccessDeniedException',
  'DisabledException',
  'IncorrectKeyException',
  'InvalidCiphertextException',
  'InvalidKeyUsageException',
  'KMSInvalidStateException',
  'NotFoundException',
  'UnrecognizedClientException',
  'InvalidSignatureException',
  'CredentialsProviderError',
];

/** Opens the service, without a call. Credentials are found as AWS's SDK finds them. */
export function openRootKmsAws({ region, endpoint, pendingDays }: AwsKmsEngine): RootKms {
  const client = new KMSClient({
    region,
    maxAttempts: ATTEMPTS_MAX,
    retryMode: 'standard',
    ...(endpoint !== undefined && { endpoint }),
  });
  let callCount = 0;
  let failureCount = 0;

  async function call<Result>(work: () => Promise<Result>): Promise<Result> {
    callCount += 1;
    try {
      return await work();
    } catch (error) {
      failureCount += 1;
      throw explain(error);
    }
  }

  /** Undefined: it is gone, or never was. */
  async function describe(key: KeyId): Promise<KeyMetadata | undefined> {
    try {
      const command = new DescribeKeyCommand({ KeyId: toUuid(key) });
      return (await call(() => client.send(command))).KeyMetadata;
    } catch (error) {
      if (nameOf((error as Error).cause) === 'NotFoundException') return undefined;
      throw error;
    }
  }

  const stateOf = async (key: KeyId) => (await describe(key))?.KeyState;
  const marks = createKeyMarks(client, call, describe);

  return {
    remembersKeys: false,
    // Its deletion takes days, in which it can be cancelled: nothing runs out of its key at once.
    noteServing: async () => undefined,
    isServed: async () => false,
    broughtBack: async () => [],
    get callCount() {
      return callCount;
    },
    get failureCount() {
      return failureCount;
    },
    async createKey(store, { insteadOf, copiedFrom } = {}) {
      const from = copiedFrom ?? (insteadOf && originOf(insteadOf, await marks.of(insteadOf)));
      const { description: Description, aliasOf } = markTexts(store, from);
      const made = await call(() => client.send(new CreateKeyCommand({ Description })));
      const uuid = made.KeyMetadata!.KeyId!;
      const AliasName = aliasOf(uuid);
      await call(() => client.send(new CreateAliasCommand({ AliasName, TargetKeyId: uuid })));
      return toKeyId(uuid);
    },
    async wrap(key, plain, context) {
      const EncryptionContext = { [CONTEXT_NAME]: context };
      const command = new EncryptCommand({
        KeyId: toUuid(key),
        Plaintext: plain,
        EncryptionContext,
      });
      return Buffer.from((await call(() => client.send(command))).CiphertextBlob!);
    },
    async unwrap(key, wrapped, context) {
      const EncryptionContext = { [CONTEXT_NAME]: context };
      const at = { KeyId: toUuid(key), CiphertextBlob: wrapped, EncryptionContext };
      const { Plaintext } = await call(() => client.send(new DecryptCommand(at)));
      const plain = Buffer.from(Plaintext!);
      Plaintext!.fill(0);
      return plain;
    },
    async destroyKey(key) {
      const state = await stateOf(key);
      if (state === undefined || state === 'PendingDeletion') return;
      const KeyId = toUuid(key);
      await call(() => client.send(new DisableKeyCommand({ KeyId })));
      const schedule = { KeyId, PendingWindowInDays: pendingDays };
      await call(() => client.send(new ScheduleKeyDeletionCommand(schedule)));
    },
    async describeKey(key) {
      const state = await stateOf(key);
      // Who has the right region and account opened the vault with a key from there, or saw this
      // one scheduled: callers know it. AWS itself does not tell a key that is gone from any other.
      if (state === undefined) return 'gone';
      if (state === 'Enabled') return 'usable';
      return state === 'PendingDeletion' ? 'pending' : 'disabled';
    },
    async keysOf(store) {
      const own = (await marks.all()).filter((mark) => mark.store === store);
      return [...new Set(own.map(({ key }) => key))];
    },
    async copiesOf(store) {
      const copies = (await marks.all()).filter(({ copiedFrom }) => copiedFrom === store);
      return [...new Set(copies.map((one) => one.store))];
    },
    async storeOf(key) {
      return (await stateOf(key)) === undefined ? undefined : oneStore(key, await marks.of(key));
    },
  };
}

function nameOf(error: unknown): string {
  return (error as { name?: string } | undefined)?.name ?? 'unknown';
}

function explain(error: unknown): LetheError {
  const name = nameOf(error);
  if (DENIED.includes(name)) {
    const text = `AWS KMS refuses the root key (${name}): check the key's state and the policies`;
    return new LetheError('ROOT_KMS_DENIED', text, { cause: error });
  }
  const text = `AWS KMS cannot be reached (${name})`;
  return new LetheError('ROOT_KMS_UNREACHABLE', text, { retryable: true, cause: error });
}

/** Throws ROOT_KMS_DENIED: they name several, and nobody knows which it is. */
function oneStore(key: KeyId, marks: readonly KeyMark[]): string | undefined {
  return oneOf(
    key,
    marks.map(({ store }) => store),
  );
}

/** The same of the store that it was copied from; what does not say so may have been cut. */
function originOf(key: KeyId, marks: readonly KeyMark[]): string | undefined {
  return oneOf(
    key,
    marks.flatMap(({ copiedFrom }) => copiedFrom ?? []),
  );
}

function oneOf(key: KeyId, named: readonly string[]): string | undefined {
  const stores = new Set(named);
  if (stores.size < 2) return [...stores][0];
  const text = `the description and the aliases of the KMS key ${key} name different stores`;
  throw new LetheError('ROOT_KMS_DENIED', `${text}: somebody has changed them. Put them right`);
}
