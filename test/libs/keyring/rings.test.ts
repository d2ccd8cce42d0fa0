import { randomBytes } from 'node:crypto';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { DAY_MAX } from '../../../libs/base/day.ts';
import { createSystemRandomness, randomId } from '../../../libs/base/random.ts';
import { Ring } from '../../../libs/keyring/ring.ts';
import {
  decodeRingMaterial,
  encodeRingMaterial,
  newRingMaterial,
  punctureMaterial,
  type RingMaterial,
  type Taken,
} from '../../../libs/keyring/ring-material.ts';
import { coverDayRange } from '../../../libs/sealing/day-range.ts';
import { writeEventKey } from '../../../libs/sealing/event-key.ts';
import { THING_DEPTH, TIME_DEPTH, thingPath, timePath } from '../../../libs/sealing/tree-path.ts';
import { SlowTree, slowEventKey, slowThingPath, slowTimePath } from '../../support/slow-rings.ts';

const randomness = createSystemRandomness();
const newId = () => randomId(randomness) as never;

function take(material: RingMaterial, taken: Taken): RingMaterial {
  return punctureMaterial(material, taken, { loaded: new Map(), randomness }).material;
}

function ringOf(material: RingMaterial): Ring {
  const { nodes, idKey, kind } = material;
  const copy = Buffer.from(nodes);
  const parts = idKey === undefined ? { nodes: copy } : { nodes: copy, idKey: Buffer.from(idKey) };
  return new Ring({ app: newId(), kind, id: newId() }, 1, parts);
}

interface Event {
  owner: string;
  thing: string;
  id: string;
  retentionClass: number;
  day: number;
}

function eventKey(rings: { app: Ring; owner: Ring; place: Ring }, event: Event) {
  const { retentionClass, day, owner } = event;
  const ownerBytes = Buffer.from(owner, 'hex');
  const appPart = Buffer.alloc(32);
  const thingLeaf = Buffer.alloc(32);
  if (!rings.app.writeAppPart({ retentionClass, day, owner, ownerBytes }, appPart))
    return undefined;
  const ownerDaySeed = rings.owner.daySeed(retentionClass, day);
  if (ownerDaySeed === undefined) return undefined;
  if (!rings.place.writeThingLeaf(Buffer.from(event.thing, 'hex'), thingLeaf)) return undefined;
  const key = Buffer.alloc(32);
  const eventId = Buffer.from(event.id, 'hex');
  writeEventKey({ purpose: 1, cipher: 1, appPart, ownerDaySeed, thingLeaf, eventId }, key);
  return key.toString('hex');
}

/** Three rings with their slow twins, over the same root seeds. */
function newRings() {
  const materials = {
    app: newRingMaterial(1, randomness),
    owner: newRingMaterial(2, randomness),
    place: newRingMaterial(3, randomness),
  };
  const root = (material: RingMaterial) => Buffer.from(material.nodes.subarray(6, 38));
  const slow = {
    app: new SlowTree(1, 5, root(materials.app)),
    owner: new SlowTree(2, 5, root(materials.owner)),
    place: new SlowTree(3, 10, root(materials.place)),
  };
  return { materials, slow };
}

const hexId = fc
  .uint8Array({ minLength: 16, maxLength: 16 })
  .map((b) => Buffer.from(b).toString('hex'));
const someEvent: fc.Arbitrary<Event> = fc.record({
  owner: hexId,
  thing: hexId,
  id: hexId,
  retentionClass: fc.integer({ min: 0, max: 14 }),
  day: fc.integer({ min: 0, max: DAY_MAX }),
});

describe('rings', () => {
  it('give one key for every class, day, owner, place, thing and event: that of the slow twin', () => {
    const { materials, slow } = newRings();
    const rings = {
      app: ringOf(materials.app),
      owner: ringOf(materials.owner),
      place: ringOf(materials.place),
    };
    fc.assert(
      fc.property(someEvent, (event) => {
        const key = eventKey(rings, event);
        expect(key).toBe(slowEventKey(slow, event));
        expect(eventKey(rings, event)).toBe(key);
      }),
      { numRuns: 300 },
    );
  });

  it('give no two of 100,000 random events the same key', () => {
    const { materials } = newRings();
    const rings = {
      app: ringOf(materials.app),
      owner: ringOf(materials.owner),
      place: ringOf(materials.place),
    };
    const keys = new Set<string>();
    for (let i = 0; i < 100_000; i += 1) {
      const bytes = randomBytes(50);
      const event = {
        owner: bytes.toString('hex', 0, 16),
        thing: bytes.toString('hex', 16, 32),
        id: bytes.toString('hex', 32, 48),
        retentionClass: bytes[48]! % 15,
        day: (bytes[49]! * 256 + i) % DAY_MAX,
      };
      keys.add(eventKey(rings, event)!);
    }
    expect(keys.size).toBe(100_000);
  });

  it('lose exactly what is taken away, by thing, day, range, owner or app day', () => {
    const taking = fc.oneof(
      fc.record({ what: fc.constant('thing' as const), event: fc.nat(19) }),
      fc.record({ what: fc.constant('ownerDay' as const), event: fc.nat(19) }),
      fc.record({ what: fc.constant('appDay' as const), event: fc.nat(19) }),
      fc.record({ what: fc.constant('range' as const), event: fc.nat(19) }),
    );
    fc.assert(
      fc.property(
        fc.array(someEvent, { minLength: 20, maxLength: 20 }),
        fc.array(taking, { minLength: 1, maxLength: 12 }),
        (events, takings) => {
          const { materials, slow } = newRings();
          for (const { what, event: at } of takings) {
            const { thing, retentionClass, day } = events[at]!;
            if (what === 'thing') {
              const taken = { path: thingPath(thing), depth: THING_DEPTH };
              materials.place = take(materials.place, taken);
              slow.place.take(slowThingPath(thing));
            } else if (what === 'range') {
              const to = Math.min(DAY_MAX, day + 40);
              for (const part of coverDayRange(retentionClass, day, to)) {
                materials.owner = take(materials.owner, part);
              }
              for (let d = day; d <= to; d += 1) slow.owner.take(slowTimePath(retentionClass, d));
            } else {
              const tree = what === 'ownerDay' ? 'owner' : 'app';
              const taken = { path: timePath(retentionClass, day), depth: TIME_DEPTH };
              materials[tree] = take(materials[tree], taken);
              slow[tree].take(slowTimePath(retentionClass, day));
            }
          }
          const rings = {
            app: ringOf(materials.app),
            owner: ringOf(materials.owner),
            place: ringOf(materials.place),
          };
          for (const event of events) {
            expect(eventKey(rings, event)).toBe(slowEventKey(slow, event));
          }
          const last = takings.at(-1)!;
          expect(eventKey(rings, events[last.event]!)).toBeUndefined();
        },
      ),
      { numRuns: 60 },
    );
  });

  it('that were written and read back give the same keys, punctured or not', () => {
    const { materials } = newRings();
    const thing = randomBytes(16).toString('hex');
    materials.place = take(materials.place, { path: thingPath(thing), depth: THING_DEPTH });
    for (const material of Object.values(materials)) {
      const back = decodeRingMaterial(encodeRingMaterial(material));
      expect(back.nodes.equals(material.nodes)).toBe(true);
      expect(back.idKey?.toString('hex')).toBe(material.idKey?.toString('hex'));
    }
  });

  it('never yield a punctured key through any call, warm caches included', () => {
    const { materials } = newRings();
    const thing = randomBytes(16);
    const out = Buffer.alloc(32);
    const warm = ringOf(materials.place);
    for (let i = 0; i < 200; i += 1) warm.writeThingLeaf(randomBytes(16), out);
    expect(warm.writeThingLeaf(thing, out)).toBe(true);
    const path = thingPath(thing.toString('hex'));
    const after = ringOf(take(materials.place, { path, depth: THING_DEPTH }));
    for (let i = 0; i < 200; i += 1) after.writeThingLeaf(randomBytes(16), out);
    expect(after.writeThingLeaf(thing, out)).toBe(false);
  });

  it('are opaque: printing shows a placeholder, and a destroyed one throws', () => {
    const { materials } = newRings();
    const ring = ringOf(materials.owner);
    expect(JSON.stringify({ ring })).toBe('{"ring":"[Ring]"}');
    expect(`${ring}`).toBe('[Ring]');
    ring.retain();
    ring.destroyWhenUnused();
    expect(ring.daySeed(1, 1)).toBeDefined();
    ring.release();
    expect(() => ring.daySeed(1, 2)).toThrow('destroyed');
  });

  it('S15 10,000 random holes in one conversation: rows stay under 64 KB, one hole rewrites one segment', () => {
    let material = newRingMaterial(3, randomness);
    const stored = new Map<string, Buffer>();
    let segmentsWrittenMax = 0;
    const holes = Array.from({ length: 10_000 }, () => randomBytes(16).toString('hex'));
    for (const thing of holes) {
      const path = thingPath(thing);
      const target = Buffer.from(path);
      const at = material.segments.findLastIndex((s) => s.firstPath.compare(target) <= 0);
      const entry = material.segments[at];
      const loaded = new Map(entry ? [[entry.id, stored.get(entry.id)!]] : []);
      const taken = { path, depth: THING_DEPTH };
      const wasSegmented = material.segments.length > 0;
      const change = punctureMaterial(material, taken, { loaded, randomness });
      for (const id of change.removed) stored.delete(id);
      for (const part of change.written) stored.set(part.entry.id, part.nodes);
      // A segment that grew too large is cut in two; otherwise exactly one is written.
      if (wasSegmented) {
        segmentsWrittenMax = Math.max(segmentsWrittenMax, change.written.length);
        expect(change.removed.length).toBe(1);
      }
      material = change.material;
    }
    expect(segmentsWrittenMax).toBeLessThanOrEqual(2);
    expect(encodeRingMaterial(material).length).toBeLessThan(65_536);
    for (const nodes of stored.values()) expect(nodes.length).toBeLessThanOrEqual(65_536);
    const nodes = Buffer.concat(material.segments.map((s) => stored.get(s.id)!));
    const ring = ringOf({ ...material, nodes });
    const out = Buffer.alloc(32);
    expect(holes.every((thing) => !ring.writeThingLeaf(Buffer.from(thing, 'hex'), out))).toBe(true);
    expect(ring.writeThingLeaf(randomBytes(16), out)).toBe(true);
  });
});
