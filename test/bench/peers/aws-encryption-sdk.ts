/**
 * The AWS Encryption SDK for JavaScript, with cached data keys and without signatures: committing
 * (its default policy) and not, because the second is faster.
 */
import { randomBytes } from 'node:crypto';
import { assertRoundTrip, loadPeer, type Peer } from './peer.ts';

const CACHE_ENTRIES = 100;
const MAX_AGE_MS = 3_600_000;

/** Both configurations. */
export async function awsEncryptionSdk(text: string): Promise<Peer[]> {
  const sdk = loadPeer('@aws-crypto/client-node');
  const { CommitmentPolicy, AlgorithmSuiteIdentifier } = sdk;
  const committing = await open(sdk, text, {
    name: 'AWS Encryption SDK, cached, committing',
    policy: CommitmentPolicy.REQUIRE_ENCRYPT_REQUIRE_DECRYPT,
    suiteId: AlgorithmSuiteIdentifier.ALG_AES256_GCM_IV12_TAG16_HKDF_SHA512_COMMIT_KEY,
  });
  const plain = await open(sdk, text, {
    name: 'AWS Encryption SDK, cached, not committing',
    policy: CommitmentPolicy.FORBID_ENCRYPT_ALLOW_DECRYPT,
    suiteId: AlgorithmSuiteIdentifier.ALG_AES256_GCM_IV12_TAG16_HKDF_SHA256,
  });
  return [committing, plain];
}

async function open(
  sdk: ReturnType<typeof loadPeer>,
  text: string,
  of: { name: string; policy: unknown; suiteId: unknown },
): Promise<Peer> {
  const { encrypt, decrypt } = sdk.buildClient(of.policy);
  const keyring = new sdk.RawAesKeyringNode({
    keyName: 'bench',
    keyNamespace: 'bench',
    unencryptedMasterKey: new Uint8Array(randomBytes(32)),
    wrappingSuite: sdk.RawAesWrappingSuiteIdentifier.AES256_GCM_IV12_TAG16_NO_PADDING,
  });
  const materials = new sdk.NodeCachingMaterialsManager({
    backingMaterials: keyring,
    cache: sdk.getLocalCryptographicMaterialsCache(CACHE_ENTRIES),
    maxAge: MAX_AGE_MS,
  });
  const message = { text };
  const seal = async () => {
    const plain = Buffer.from(JSON.stringify(message));
    const options = { suiteId: of.suiteId, plaintextLength: plain.length };
    const { result } = await encrypt(materials, plain, options);
    return result as Buffer;
  };
  const sealed = await seal();
  const peer = {
    name: of.name,
    seal,
    open: async () => JSON.parse((await decrypt(materials, sealed)).plaintext.toString()),
  };
  return assertRoundTrip(peer, text);
}
