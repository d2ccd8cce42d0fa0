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
  KMSClient,
  ListAliasesCommand,
  ScheduleKeyDeletionCommand,
} from '@aws-sdk/client-kms';
import type { KeyId } from '../../../base/ids.ts';
import { LetheError } from '../../../base/lethe-error.ts';
import type { AwsKmsEngine } from '../../../engines/engine-urls.ts';
import type { RootKms } from '../root-kms.ts';

// With full jitter: a throttled turn ends, only later; who cannot connect hears it in seconds.
const ATTEMPTS_MAX = 8;
const CONTEXT_NAME = 'lethe:row';
const ALIASES = 'alias/lethe/';
/** Store, the one that it was copied from (if it was), and key. */
const ALIAS = /^alias\/lethe\/([^/_]+)(?:_([^/]+))?\/([^/]+)$/;

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

  async function stateOf(key: KeyId): Promise<string | undefined> {
    try {
      const command = new DescribeKeyCommand({ KeyId: toUuid(key) });
      return (await call(() => client.send(command))).KeyMetadata?.KeyState;
    } catch (error) {
      if (nameOf((error as Error).cause) === 'NotFoundException') return undefined;
      throw error;
    }
  }

  /** What the aliases of Lethe say of keys, page by page. */
  async function marksOf(of: { KeyId?: string }): Promise<KeyMark[]> {
    const names: string[] = [];
    for (let Marker: string | undefined; ; ) {
      const command = new ListAliasesCommand({ ...of, ...(Marker && { Marker }) });
      const page = await call(() => client.send(command));
      names.push(...(page.Aliases ?? []).flatMap(({ AliasName }) => AliasName ?? []));
      if (page.NextMarker === undefined) return names.flatMap(readAlias);
      Marker = page.NextMarker;
    }
  }

  return {
    remembersKeys: false,
    // Its deletion takes days, in which it can be cancelled: nothing runs out of its key at once.
    noteServing: async () => undefined,
    servedAtMs: async () => undefined,
    broughtBack: async () => [],
    get callCount() {
      return callCount;
    },
    get failureCount() {
      return failureCount;
    },
    async createKey(store, { insteadOf, copiedFrom } = {}) {
      const [before] = insteadOf === undefined ? [] : await marksOf({ KeyId: toUuid(insteadOf) });
      const from = copiedFrom ?? before?.copiedFrom;
      const mark = from === undefined ? store : `${store}_${from}`;
      const command = new CreateKeyCommand({ Description: 'Lethe: root of an epoch' });
      const made = await call(() => client.send(command));
      const uuid = made.KeyMetadata!.KeyId!;
      // Policies can name all keys of Lethe by their aliases, which tell the store as well.
      const AliasName = `${ALIASES}${mark}/${uuid}`;
      await call(() => client.send(new CreateAliasCommand({ AliasName, TargetKeyId: uuid })));
      return uuid.replaceAll('-', '') as KeyId;
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
      return (await marksOf({})).filter((mark) => mark.store === store).map(({ key }) => key);
    },
    async copiesOf(store) {
      const copies = (await marksOf({})).filter(({ copiedFrom }) => copiedFrom === store);
      return [...new Set(copies.map((one) => one.store))];
    },
    async storeOf(key) {
      if ((await stateOf(key)) === undefined) return undefined;
      return (await marksOf({ KeyId: toUuid(key) }))[0]?.store;
    },
  };
}

interface KeyMark {
  readonly store: string;
  readonly copiedFrom: string | undefined;
  readonly key: KeyId;
}

function readAlias(name: string): KeyMark[] {
  const [, store, copiedFrom, uuid] = ALIAS.exec(name) ?? [];
  if (store === undefined) return [];
  return [{ store, copiedFrom, key: uuid!.replaceAll('-', '') as KeyId }];
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

/** Ids of KMS keys are UUIDs: 16 bytes, as every id here. */
function toUuid(key: KeyId): string {
  return key.replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, '$1-$2-$3-$4-$5');
}
