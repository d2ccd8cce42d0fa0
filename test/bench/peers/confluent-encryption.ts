/**
 * Confluent's client-side encryption for JavaScript over Avro, with its in-memory registry and
 * local KMS, so that no network is measured: one field of the message encrypted, and all of it.
 */
import { assertRoundTrip, loadPeer, type Peer } from './peer.ts';

const TOPIC = 'bench';
const SCHEMA = JSON.stringify({
  type: 'record',
  name: 'Message',
  fields: [{ name: 'text', type: 'string', 'confluent:tags': ['PII'] }],
});

/** Both configurations. */
export async function confluentEncryption(text: string): Promise<Peer[]> {
  const registry = loadPeer('@confluentinc/schemaregistry');
  const rule = (type: string) => ({
    name: 'encrypt',
    kind: 'TRANSFORM',
    mode: 'WRITEREAD',
    type,
    tags: type === 'ENCRYPT' ? ['PII'] : undefined,
    params: {
      'encrypt.kek.name': `kek-${type.toLowerCase()}`,
      'encrypt.kms.type': 'local-kms',
      'encrypt.kms.key.id': 'bench',
    },
    onFailure: 'ERROR,ERROR',
  });
  registry.LocalKmsDriver.register();
  registry.FieldEncryptionExecutor.register();
  registry.EncryptionExecutor.register();
  return [
    await open(registry, text, {
      name: 'Confluent client-side encryption, one field',
      ruleSet: { domainRules: [rule('ENCRYPT')] },
    }),
    await open(registry, text, {
      name: 'Confluent client-side encryption, whole payload',
      ruleSet: { encodingRules: [rule('ENCRYPT_PAYLOAD')] },
    }),
  ];
}

async function open(
  registry: ReturnType<typeof loadPeer>,
  text: string,
  of: { name: string; ruleSet: object },
): Promise<Peer> {
  const topic = `${TOPIC}-${of.name.length}`;
  const client = registry.SchemaRegistryClient.newClient({
    baseURLs: ['mock://'],
    cacheCapacity: 1_000,
  });
  const info = { schemaType: 'AVRO', schema: SCHEMA, ruleSet: of.ruleSet };
  await client.register(`${topic}-value`, info, false);
  const { VALUE } = registry.SerdeType;
  const ruleConfig = { secret: 'bench' };
  const options = { useLatestVersion: true, ruleConfig };
  const serializer = new registry.AvroSerializer(client, VALUE, options);
  const deserializer = new registry.AvroDeserializer(client, VALUE, { ruleConfig });
  // The field is replaced in the object that is given: each message is a new one.
  const seal = () => serializer.serialize(topic, { text });
  const sealed: Buffer = await seal();
  if (sealed.includes(text.slice(0, 40))) throw new Error(`${of.name} did not encrypt`);
  const peer = { name: of.name, seal, open: () => deserializer.deserialize(topic, sealed) };
  return assertRoundTrip(peer, text);
}
