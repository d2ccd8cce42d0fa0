import { describe, expect, it } from 'vitest';
import { crc64Avro } from '../../../libs/codec/crc64-avro.ts';
import { parsingCanonicalForm } from '../../../libs/codec/parsing-canonical-form.ts';

// From the Apache Avro project's own test data (share/test/data/schema-tests.txt), as signed longs.
const SPECIFIED: [schema: unknown, fingerprint: bigint][] = [
  ['null', 7195948357588979594n],
  [{ type: 'null' }, 7195948357588979594n],
  ['boolean', -6970731678124411036n],
  ['int', 8247732601305521295n],
  ['long', -3434872931120570953n],
  ['float', 5583340709985441680n],
  ['double', -8181574048448539266n],
  ['bytes', 5746618253357095269n],
  ['string', -8142146995180207161n],
  [[], -1241056759729112623n],
  [['int'], -5232228896498058493n],
  [['int', 'boolean'], 5392556393470105090n],
  [{ fields: [], type: 'record', name: 'foo' }, -4824392279771201922n],
  [{ type: 'record', name: 'foo', namespace: 'x.y', fields: [] }, 5916914534497305771n],
  [{ type: 'record', name: 'a.b.foo', namespace: 'x.y', fields: [] }, -4616218487480524110n],
];

describe('CRC-64-AVRO', () => {
  it.each(SPECIFIED)('gives the Avro project’s fingerprint of %j', (schema, fingerprint) => {
    const canonical = parsingCanonicalForm(schema as never);
    const found = crc64Avro(Buffer.from(canonical, 'utf8'));
    expect(BigInt.asIntN(64, found)).toBe(fingerprint);
  });
});
