import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { ProfileFields } from '../../../libs/conversation/delivery.ts';
import type { ProfileUpdated } from '../../../libs/conversation/event-types.ts';
import {
  foldDescription,
  foldProfile,
  isTooMuchMetadata,
  mergeProfile,
  metadataParts,
  metadataToJson,
  profileFields,
} from '../../../libs/conversation/field-fold.ts';

const NOTHING = {
  displayName: null,
  givenName: null,
  surname: null,
  email: null,
  avatarUrl: null,
  locale: null,
  metadata: null,
};

const update = (part: string, said: Partial<ProfileUpdated>): ProfileUpdated => ({
  part,
  ...NOTHING,
  ...said,
});

const key = fc.oneof(fc.constantFrom('a', 'b', '__proto__', 'constructor', ''), fc.string());
const value = fc.option(fc.jsonValue(), { nil: null });
/** What one request gives: some fields, some keys. */
const given = fc.record({
  profile: fc.record(
    Object.fromEntries(profileFields.map((name) => [name, fc.option(fc.string(), { nil: null })])),
    { requiredKeys: [] },
  ) as fc.Arbitrary<Partial<ProfileFields>>,
  metadata: fc.array(fc.tuple(key, value), { maxLength: 4 }).map((entries) => {
    return JSON.stringify(Object.fromEntries(entries));
  }),
});

describe('facts of a field each', () => {
  it('folded in their order give what was given, field by field, the newest last', () => {
    fc.assert(
      fc.property(fc.array(given, { maxLength: 6 }), (requests) => {
        const facts = requests.flatMap(({ profile, metadata }) => [
          ...Object.entries(profile).map(([name, text]) => update(name, { [name]: text })),
          ...metadataParts(metadata).map(({ json }) => update('metadata key', { metadata: json })),
        ]);
        const merged = requests.reduce(mergeProfile, foldProfile([]));
        const folded = foldProfile(facts);
        expect(folded.fields).toEqual(merged.fields);
        expect([...folded.metadata]).toEqual([...merged.metadata]);
        const last = new Map(
          requests.flatMap(({ metadata }) => Object.entries(JSON.parse(metadata))),
        );
        const there = [...last].filter(([, one]) => one !== null);
        expect(new Map(Object.entries(metadataToJson(folded.metadata)))).toEqual(new Map(there));
      }),
    );
  });

  it('of an earlier version carry a whole: it replaces what came before, and is replaced in part', () => {
    const { fields, channelName, metadata } = foldProfile([
      update('name', { displayName: 'ann' }),
      update('surname', { surname: 'Old' }),
      update('profile', { givenName: 'Ann', email: 'ann@example.org' }),
      update('metadata', { metadata: '{"a":1,"b":2}' }),
      update('metadata key', { metadata: '{"b":null}' }),
      update('email', { email: null }),
    ]);
    expect(fields).toEqual({ givenName: 'Ann' });
    expect(channelName).toBe('ann');
    expect(metadataToJson(metadata)).toEqual({ a: 1 });
    const none = { displayName: null, metadata: null, source: null, externalId: null };
    const described = foldDescription([
      { part: 'displayName', content: { ...none, displayName: 'Old' } },
      { part: null, content: { ...none, displayName: 'Whole', metadata: '{"a":1}' } },
      { part: 'metadata.00', content: { ...none, metadata: '{"b":2}' } },
    ]);
    expect(described.displayName).toBe('Whole');
    expect(metadataToJson(described.metadata)).toEqual({ a: 1, b: 2 });
  });

  it('of metadata are bounded by what is shown, and by how many keys there ever were', () => {
    const keys = (count: number) =>
      new Map(Array.from({ length: count }, (_, i) => [`${i}`, null]));
    expect(isTooMuchMetadata(keys(256))).toBe(false);
    expect(isTooMuchMetadata(keys(257))).toBe(true);
    expect(isTooMuchMetadata(new Map([['a', 'x'.repeat(4_088)]]))).toBe(false);
    expect(isTooMuchMetadata(new Map([['a', 'x'.repeat(4_089)]]))).toBe(true);
  });
});
