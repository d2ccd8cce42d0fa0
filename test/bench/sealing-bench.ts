/**
 * Sealing against bare AES-256-GCM, 1 KB content and a warm ring, alternating rounds in one
 * process: medians of the ratios.
 */
import { createCipheriv, createDecipheriv, randomBytes } from 'node:crypto';
import { toRecordedAt } from '../../libs/base/clock.ts';
import { createSystemRandomness, randomId } from '../../libs/base/random.ts';
import { decodeSealedEvent, encodeHeader } from '../../libs/codec/sealed-event.ts';
import { contentCodecs } from '../../libs/conversation/event-types.ts';
import { type HeaderDraft, sealEvent, unsealEvent } from '../../libs/keyring/event-sealer.ts';
import { Ring } from '../../libs/keyring/ring.ts';
import { newRingMaterial } from '../../libs/keyring/ring-material.ts';
import { sealingCipher } from '../../libs/sealing/ciphers.ts';
import { writeEventKey } from '../../libs/sealing/event-key.ts';
import { ringKinds } from '../../libs/sealing/tree-path.ts';
import { median } from './statistics.ts';

const OPERATIONS = 5_000;
const ROUNDS = 9;
const randomness = createSystemRandomness();
const id = () => randomId(randomness) as never;
const app = id();

function newRing(kind: 1 | 2 | 3): Ring {
  const { nodes, idKey } = newRingMaterial(kind, randomness);
  return new Ring({ app, kind, id: id() }, 1, idKey === undefined ? { nodes } : { nodes, idKey });
}

function draftOf(): HeaderDraft {
  return {
    eventId: id(),
    attempt: 1,
    app,
    type: 'MessagePosted',
    stream: id(),
    place: id(),
    ownerKind: 'person',
    owner: id(),
    thing: id(),
    retentionClass: 1,
    occurredAt: Date.now(),
    recordedAt: toRecordedAt(Date.now(), 1),
    contentFingerprint: contentCodecs.MessagePosted.fingerprint,
    attachments: [],
    contentKind: 'text',
    authorRole: 'user',
    replyTo: null,
    receiptStatus: null,
  };
}

/** The ratios: ours per second over bare AES-256-GCM per second. */
export function benchSealing() {
  return ratiosOf(sealingWork().work);
}

/** What is measured, and the message that it is measured with. */
export function sealingWork() {
  const rings = {
    app: newRing(ringKinds.app),
    owner: newRing(ringKinds.owner),
    place: newRing(ringKinds.place),
  };
  const text = randomBytes(768).toString('base64');
  const message = {
    text,
    content: null,
    agent: null,
    authorSubtypes: [],
    quotedExternalId: null,
    metadata: null,
    purpose: null,
    source: null,
    externalId: null,
  };
  const content = contentCodecs.MessagePosted.encode(message);
  const drafts = Array.from({ length: 200 }, draftOf);
  const headers = drafts.map((d) => encodeHeader({ ...d, formatVersion: 1, cipher: 1 }));
  const records = drafts.map((d) => {
    const sealed = sealEvent(d, content, { rings, randomness });
    if (sealed === 'forgotten') throw new Error('a whole ring forgets nothing');
    return sealed.value;
  });
  const key = randomBytes(32);
  const bare = drafts.map((_, i) => sealingCipher.seal(key, content, bound(headers[i]!)));

  const work = {
    bareSeal: (i: number) => {
      const nonce = randomness.fill(Buffer.allocUnsafe(12));
      const cipher = createCipheriv('aes-256-gcm', key, nonce);
      cipher.setAAD(headers[i]!);
      cipher.update(content);
      cipher.final();
      cipher.getAuthTag();
    },
    bareOpen: (i: number) => {
      const decipher = createDecipheriv('aes-256-gcm', key, bare[i]!.nonce);
      decipher.setAAD(headers[i]!);
      decipher.setAuthTag(bare[i]!.tag);
      decipher.update(bare[i]!.ciphertext);
      decipher.final();
    },
    keyAndAead: (i: number) => {
      const d = drafts[i]!;
      deriveKey(rings, d);
      sealingCipher.seal(derived, content, bound(headers[i]!));
    },
    contentToEnvelope: (i: number) => {
      const encoded = contentCodecs.MessagePosted.encode(message);
      sealEvent(drafts[i]!, encoded, { rings, randomness });
    },
    envelopeToContent: (i: number) => {
      const opened = unsealEvent(decodeSealedEvent(records[i]!), rings);
      if (opened === 'forgotten') throw new Error('a whole ring forgets nothing');
      const codec = contentCodecs.MessagePosted;
      codec.decode(opened, codec.fingerprint);
    },
  };
  return { work, text };
}

function bound(associatedData: Buffer) {
  return { associatedData, randomness };
}

const derived = Buffer.alloc(32);
const appPart = Buffer.alloc(32);
const leaf = Buffer.alloc(32);

function deriveKey(rings: { app: Ring; owner: Ring; place: Ring }, d: HeaderDraft): void {
  const day = Math.floor(d.occurredAt / 86_400_000);
  const owner = Buffer.from(d.owner, 'hex');
  const of = { retentionClass: 1, day, owner: d.owner, ownerBytes: owner };
  rings.app.writeAppPart(of, appPart);
  rings.place.writeThingLeaf(Buffer.from(d.thing, 'hex'), leaf);
  const eventId = Buffer.from(d.eventId, 'hex');
  const ownerDaySeed = rings.owner.daySeed(1, day)!;
  const parts = { purpose: 1, cipher: 1, appPart, ownerDaySeed, thingLeaf: leaf, eventId };
  writeEventKey(parts, derived);
}

type Work = Record<
  'bareSeal' | 'bareOpen' | 'keyAndAead' | 'contentToEnvelope' | 'envelopeToContent',
  (i: number) => void
>;

function ratiosOf(work: Work) {
  const times: Record<string, number[]> = {};
  for (let round = 0; round < ROUNDS + 2; round += 1) {
    for (const [name, run] of Object.entries(work)) {
      const started = performance.now();
      for (let i = 0; i < OPERATIONS; i += 1) run(i % 200);
      // The first rounds only warm up.
      const time = (performance.now() - started) / OPERATIONS;
      if (round >= 2) times[name] = [...(times[name] ?? []), time];
    }
  }
  const ratio = (base: string, ours: string) =>
    median(times[base]!.map((time, i) => time / times[ours]![i]!));
  return {
    bareSealMicroseconds: median(times.bareSeal!) * 1_000,
    keyAndAeadOfBare: ratio('bareSeal', 'keyAndAead'),
    contentToEnvelopeOfBare: ratio('bareSeal', 'contentToEnvelope'),
    envelopeToContentOfBare: ratio('bareOpen', 'envelopeToContent'),
  };
}
