/**
 * Writes `test/vectors/format-1.json`, once. The bytes in it are frozen: today's code must open
 * them for ever. A change of a format is a new file beside it. Inputs are fixed, so that what has
 * no random part is compared byte by byte.
 */
import { existsSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { toRecordedAt } from '../../libs/base/clock.ts';
import type { Randomness } from '../../libs/base/random.ts';
import { recordCodec } from '../../libs/codec/avro.ts';
import { HmacKey } from '../../libs/codec/hash.ts';
import { labels } from '../../libs/codec/labels.ts';
import { contentCodecs } from '../../libs/conversation/event-types.ts';
import { sealEvent } from '../../libs/keyring/event-sealer.ts';
import { Ring } from '../../libs/keyring/ring.ts';
import {
  encodeRingMaterial,
  newRingMaterial,
  punctureMaterial,
  type RingMaterial,
} from '../../libs/keyring/ring-material.ts';
import { WrappingKey } from '../../libs/keyring/wrapping-key.ts';
import { THING_DEPTH, thingPath } from '../../libs/sealing/tree-path.ts';
import { indexRowId } from '../../libs/vault/directory/directory-table.ts';
import { wrapSegment } from '../../libs/vault/rings/vault-rings.ts';
import { rowKinds } from '../../libs/vault/rows/vault-store.ts';
import { wrapRow } from '../../libs/vault/rows/wrapped-row.ts';
import { eventIdOf, messageIdOf } from '../../services/ingest/plan/seal-plan.ts';

/** Bytes that count up: 0, 1, 2, … over all calls. */
function countingRandomness(): Randomness {
  let next = 0;
  return {
    fill(target) {
      for (let i = 0; i < target.length; i += 1) target[i] = next++ & 0xff;
      return target;
    },
  };
}

/** An id of one repeated byte. */
export const idOf = (byte: number) => byte.toString(16).padStart(2, '0').repeat(16) as never;

/** Everything that is frozen, as hexadecimal text. */
export function makeVectors() {
  const randomness = countingRandomness();
  const materials = {
    app: newRingMaterial(1, randomness),
    owner: newRingMaterial(2, randomness),
    place: newRingMaterial(3, randomness),
  };
  const hex = (bytes: Buffer) => bytes.toString('hex');
  const plain = (material: RingMaterial) => hex(encodeRingMaterial(material));
  const ring = (material: RingMaterial, id: string) => {
    const { nodes, idKey, kind } = material;
    const ref = { app: idOf(1), kind, id };
    const own = Buffer.from(nodes);
    return new Ring(ref, 1, idKey === undefined ? { nodes: own } : { nodes: own, idKey });
  };
  const rings = {
    app: ring(materials.app, idOf(1)),
    owner: ring(materials.owner, idOf(2)),
    place: ring(materials.place, idOf(3)),
  };
  const content = contentCodecs.MessagePosted.encode({
    text: 'frozen words ❄',
    content: null,
    agent: null,
    authorSubtypes: [],
    quotedExternalId: null,
    metadata: '{"a":1}',
    purpose: null,
    source: '/channels/chat/main',
    externalId: 'm-1',
  });
  const idHmac = rings.place.idHmac();
  const name = { source: '/channels/chat/main', id: 'm-1', actor: idOf(2) };
  const sealed = sealEvent(
    {
      eventId: eventIdOf(idHmac, name, 'MessagePosted'),
      attempt: 1,
      app: idOf(1),
      type: 'MessagePosted',
      stream: idOf(4),
      place: idOf(3),
      ownerKind: 'person',
      owner: idOf(2),
      thing: messageIdOf(idHmac, { source: name.source, externalId: 'm-1' }),
      retentionClass: 1,
      occurredAt: 1_767_225_600_000,
      recordedAt: toRecordedAt(1_767_225_600_123, 7),
      contentFingerprint: contentCodecs.MessagePosted.fingerprint,
      attachments: [],
      contentKind: 'text',
      authorRole: 'user',
      replyTo: null,
      receiptStatus: null,
    },
    content,
    { rings, randomness },
  );
  if (sealed === 'forgotten') throw new Error('nothing was taken');
  const taken = { path: thingPath(idOf(9)), depth: THING_DEPTH };
  const punctured = punctureMaterial(materials.place, taken, { loaded: new Map(), randomness });
  const wrapping = new WrappingKey(idOf(5), Buffer.alloc(32, 5), randomness);
  const key = { app: idOf(1), bucket: 7, kind: rowKinds.ownerRing, id: idOf(2) };
  const row = wrapRow({ key }, encodeRingMaterial(materials.owner), wrapping);
  const entry = { firstPath: Buffer.alloc(5), id: idOf(6), key: Buffer.alloc(32, 6) };
  const ref = { app: idOf(1), kind: 3 as const, id: idOf(3) };
  const nodes = punctured.material.nodes;
  const index = new HmacKey(Buffer.alloc(32, 8));
  return {
    rings: {
      app: plain(materials.app),
      owner: plain(materials.owner),
      place: plain(materials.place),
      placePuncturedAt09: plain(punctured.material),
    },
    eventId: sealed.header.eventId,
    messageId: sealed.header.thing,
    header: sealed.header,
    recordKey: hex(sealed.key),
    recordValue: hex(sealed.value),
    content: hex(content),
    wrappedRow: hex(row.wrapped!),
    wrappedSegment: hex(wrapSegment(ref, { entry, nodes }, randomness).wrapped),
    indexIds: {
      identity: indexRowId(index, labels.identityIndex, ['chat', 'ann']),
      delivery: indexRowId(index, labels.deliveryIndex, ['s', 'i', 't', '', '']),
    },
    schemaFingerprints: Object.fromEntries(
      Object.entries(contentCodecs).map(([type, codec]) => [type, codec.fingerprint]),
    ),
  };
}

/** An entry of the ledger, as its first version had it. */
export const DELIVERY_ENTRY = {
  eventId: 'a3233e6eda31883d84247eb818e46a80',
  recordedAt: '019b76daa87b0007',
  attempt: 1,
  ownerKind: 'person',
  owner: idOf(2),
  conversation: idOf(4),
  place: idOf(3),
  thing: '647c0432858a8bc281090332627bde62',
  state: 'kept',
};

/** The third version of what the ledger and the directory call things. */
export function makeNames() {
  const index = new HmacKey(Buffer.alloc(32, 8));
  const { conversationIndex, deliverySaid } = labels;
  const name = ['/channels/chat/main', 'room'];
  const more = { authorRole: 'user', said: idOf(7) };
  const codec = recordCodec<object>('DeliveryEntry');
  return {
    group: indexRowId(index, conversationIndex, [...name, '']),
    personal: indexRowId(index, conversationIndex, [...name, Buffer.from(idOf(2), 'hex')]),
    said: indexRowId(index, deliverySaid, ['/channels/chat/main', 'm-1', 'lethe.message.received']),
    deliveryEntry: codec.encodeTagged({ ...DELIVERY_ENTRY, ...more }).toString('hex'),
  };
}

if (import.meta.main) {
  const made = { 'format-1': makeVectors, 'names-3': makeNames };
  for (const [name, make] of Object.entries(made)) {
    const file = join(import.meta.dirname, `../vectors/${name}.json`);
    if (!existsSync(file)) writeFileSync(file, `${JSON.stringify(make(), null, 2)}\n`);
  }
}
