import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import avro from 'avsc';
import { describe, expect, it } from 'vitest';
import { hexToBytes } from '../../libs/base/hex.ts';
import { createSystemRandomness } from '../../libs/base/random.ts';
import { isKnownSchema, recordCodec } from '../../libs/codec/avro.ts';
import { fingerprintBytes } from '../../libs/codec/crc64-avro.ts';
import { decodeRecord } from '../../libs/codec/event-record.ts';
import { parsingCanonicalForm } from '../../libs/codec/parsing-canonical-form.ts';
import { contentCodecs } from '../../libs/conversation/event-types.ts';
import { unsealEvent } from '../../libs/keyring/event-sealer.ts';
import { Ring } from '../../libs/keyring/ring.ts';
import { decodeRingMaterial, encodeRingMaterial } from '../../libs/keyring/ring-material.ts';
import { WrappingKey } from '../../libs/keyring/wrapping-key.ts';
import { loadSegments } from '../../libs/vault/rings/vault-rings.ts';
import { rowKinds, rowStates, type VaultStore } from '../../libs/vault/rows/vault-store.ts';
import { unwrapRow } from '../../libs/vault/rows/wrapped-row.ts';
import { DELIVERY_ENTRY, idOf, makeNames, makeVectors } from '../support/make-vectors.ts';
import { SlowTree, slowEventKey } from '../support/slow-rings.ts';

// Source: written by test/support/make-vectors.ts when each was frozen.
const readFrozen = (name: string) =>
  JSON.parse(readFileSync(join(import.meta.dirname, `${name}.json`), 'utf8'));
const frozen = readFrozen('format-1') as ReturnType<typeof makeVectors> & {
  readonly deliveryEntry: string;
};

function ringOf(plain: string, id: string): Ring {
  const { kind, nodes, idKey } = decodeRingMaterial(hexToBytes(plain));
  const ref = { app: idOf(1), kind, id };
  return new Ring(ref, 1, idKey === undefined ? { nodes } : { nodes, idKey });
}

const rings = () => ({
  app: ringOf(frozen.rings.app, idOf(1)),
  owner: ringOf(frozen.rings.owner, idOf(2)),
  place: ringOf(frozen.rings.place, idOf(3)),
});

describe('every schema that was ever written', () => {
  const folder = new URL('../../schemas/', import.meta.url);
  it.each(readdirSync(folder))('%s: its records are read by today’s code', (file) => {
    const schema = JSON.parse(readFileSync(new URL(file, folder), 'utf8'));
    const type = avro.Type.forSchema(schema);
    const bytes = type.toBuffer(type.random());
    const fingerprint = fingerprintBytes(parsingCanonicalForm(schema)).toString('hex');
    expect(recordCodec(schema.name).decode(bytes, fingerprint)).toBeTypeOf('object');
  });
});

describe('frozen bytes of format 1', () => {
  it('are written by today’s code exactly as they were', () => {
    const { schemaFingerprints: _, ...today } = makeVectors();
    const { schemaFingerprints, deliveryEntry, ...then } = frozen;
    // Groups and entries of the ledger are named anew since, as below.
    const { identity, delivery } = then.indexIds;
    expect(today).toEqual({ ...then, indexIds: { identity, delivery } });
    expect(recordCodec('DeliveryEntry').decodeTagged(hexToBytes(deliveryEntry))).toEqual({
      ...DELIVERY_ENTRY,
      authorRole: null,
      said: null,
    });
    const names = makeNames();
    expect(names).toEqual(readFrozen('names-3'));
    // Entries of the second version named what they said without the delivery: it is not read.
    const second = readFrozen('names-2');
    expect([second.group, second.personal]).toEqual([names.group, names.personal]);
    expect(recordCodec('DeliveryEntry').decodeTagged(hexToBytes(second.deliveryEntry))).toEqual({
      ...DELIVERY_ENTRY,
      authorRole: 'user',
      said: null,
    });
    // A newer schema may be written by now; what was written under this one is read for ever.
    for (const fingerprint of Object.values(schemaFingerprints)) {
      expect(isKnownSchema(fingerprint)).toBe(true);
    }
  });

  it('a record opens to its words', () => {
    const event = decodeRecord(hexToBytes(frozen.recordKey), hexToBytes(frozen.recordValue));
    expect(event.header).toEqual(frozen.header);
    const content = unsealEvent(event, rings());
    if (content === 'forgotten') throw new Error('nothing was taken');
    const codec = contentCodecs.MessagePosted;
    const { contentFingerprint } = event.header;
    expect(codec.decode(content, contentFingerprint).text).toBe('frozen words ❄');
  });

  it('the key of the record is the one that the slow twin derives', () => {
    const root = (plain: string) =>
      Buffer.from(decodeRingMaterial(hexToBytes(plain)).nodes.subarray(6));
    const trees = {
      app: new SlowTree(1, 5, root(frozen.rings.app)),
      owner: new SlowTree(2, 5, root(frozen.rings.owner)),
      place: new SlowTree(3, 10, root(frozen.rings.place)),
    };
    const day = Math.floor(frozen.header.occurredAt / 86_400_000);
    const { owner, thing, eventId: id } = frozen.header;
    const key = slowEventKey(trees, { owner, thing, id, retentionClass: 1, day });
    const event = decodeRecord(hexToBytes(frozen.recordKey), hexToBytes(frozen.recordValue));
    const raw = new WrappingKey(idOf(5), hexToBytes(key!), createSystemRandomness());
    // The same AEAD, given the nonce and tag in the order of a wrap.
    const asWrap = Buffer.concat([Buffer.from([1]), event.nonce, event.ciphertext, event.tag]);
    const opened = raw.unwrap(asWrap, event.headerBytes);
    expect(opened?.toString('hex')).toBe(frozen.content);
  });

  it('a punctured ring has lost its leaf and nothing else', () => {
    const ring = ringOf(frozen.rings.placePuncturedAt09, idOf(3));
    const whole = rings().place;
    const [a, b] = [Buffer.alloc(32), Buffer.alloc(32)];
    expect(ring.writeThingLeaf(hexToBytes(idOf(9)), a)).toBe(false);
    expect(ring.writeThingLeaf(hexToBytes(idOf(8)), a)).toBe(true);
    whole.writeThingLeaf(hexToBytes(idOf(8)), b);
    expect(a.equals(b)).toBe(true);
  });

  it('a wrapped row and a wrapped segment open', async () => {
    const randomness = createSystemRandomness();
    const wrapping = new WrappingKey(idOf(5), Buffer.alloc(32, 5), randomness);
    const row = {
      app: idOf(1),
      bucket: 7,
      kind: rowKinds.ownerRing,
      id: idOf(2),
      version: 1,
      state: rowStates.active,
      wrappingKey: idOf(5),
      ownKey: null,
      holds: [],
      edges: [],
      wrapped: hexToBytes(frozen.wrappedRow),
      erasure: null,
      fingerprint: null,
      owed: null,
    };
    expect(unwrapRow(row, wrapping).toString('hex')).toBe(frozen.rings.owner);
    const readSegments = async () => [hexToBytes(frozen.wrappedSegment)];
    const store = { readSegments } as unknown as VaultStore;
    const entries = [{ firstPath: Buffer.alloc(5), id: idOf(6), key: Buffer.alloc(32, 6) }];
    const ref = { app: idOf(1), kind: 3 as const, id: idOf(3) };
    const loaded = await loadSegments(store, ref, { entries: entries as never, randomness });
    const { nodes } = decodeRingMaterial(hexToBytes(frozen.rings.placePuncturedAt09));
    expect([...loaded.values()][0]!.equals(nodes)).toBe(true);
  });
});

describe('frozen bytes of a held ring, format 2', () => {
  const idKeyless = { kind: 2 as const, idKey: undefined, segments: [] };
  const nodes = Buffer.concat([Buffer.alloc(6), Buffer.alloc(32, 0x11)]);
  const entry = {
    retentionClass: 1,
    fromDay: 19_723,
    toDay: 20_088,
    id: 'ab'.repeat(16) as never,
    key: Buffer.alloc(32, 0x22),
  };
  const plain = [
    '0202',
    '00000001',
    `000000000000${'11'.repeat(32)}`,
    '00000000',
    '00000001',
    `014d0b4e78${'ab'.repeat(16)}${'22'.repeat(32)}`,
  ].join('');

  it('are written and read as they were', () => {
    const material = { ...idKeyless, nodes, kept: [entry] };
    expect(encodeRingMaterial(material).toString('hex')).toBe(plain);
    expect(decodeRingMaterial(hexToBytes(plain))).toMatchObject({ nodes, kept: [entry] });
  });

  it('become those of format 1 when nothing is kept, and are refused when cut short', () => {
    const material = { ...idKeyless, nodes, kept: [] };
    expect(encodeRingMaterial(material)[0]).toBe(1);
    for (const cut of [1, 53, 57]) {
      const short = hexToBytes(plain).subarray(0, plain.length / 2 - cut);
      expect(() => decodeRingMaterial(Buffer.from(short))).toThrow('unknown format');
    }
  });
});
