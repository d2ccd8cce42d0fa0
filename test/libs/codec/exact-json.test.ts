import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { readExactJson } from '../../../libs/codec/exact-json.ts';

const read = (text: string | Buffer) => readExactJson(Buffer.from(text as string));

describe('JSON that is kept exactly, or refused', () => {
  it.each(['17841405822304915', '1e400', '-1e400', '0.1234567890123456789', '9007199254740993'])(
    'refuses the number %s, which would be kept as another, and says where it is',
    (number) => {
      expect(read(`{"a": "${number}", "b": ${number}}`)).toEqual({
        problem: expect.stringContaining(`at character ${15 + number.length}`),
      });
      expect(read(`{"a": "${number}"}`)).toEqual({ value: { a: number } });
    },
  );

  it.each(['1.10', '1e3', '-0', '0.1', '1E-7', '123456789012345', '1.5e300', '9007199254740992'])(
    'takes the number %s',
    (number) => {
      expect(read(`[${number}]`)).toEqual({ value: [Number(number)] });
    },
  );

  it('takes what JSON.stringify writes, whatever it is', () => {
    fc.assert(
      fc.property(fc.jsonValue(), (value) => {
        const text = JSON.stringify(value);
        expect(read(text)).toEqual({ value: JSON.parse(text) });
      }),
    );
  });

  it('looks at ten megabytes of short numbers with one long among them in little time', () => {
    const text = `[${'1,'.repeat(5_000_000)}1e0,12345678901234567]`;
    const began = performance.now();
    JSON.parse(text);
    const parsedMs = performance.now() - began;
    expect(read(text)).toEqual({ problem: expect.stringContaining('at character 10000005') });
    expect(performance.now() - began - parsedMs).toBeLessThan(10 * parsedMs + 1_000);
  });

  it('refuses what is nested too deep, or has too many parts, whatever stands in its texts', () => {
    const nested = (depth: number) => `${'['.repeat(depth)}"]\\\\"${']'.repeat(depth)}`;
    expect(read(nested(64))).toHaveProperty('value');
    expect(read(nested(65))).toEqual({ problem: expect.stringContaining('at byte 64') });
    const inText = JSON.stringify({ '[[': `\\"${'['.repeat(1_000)}\\`, b: [{}] });
    expect(read(inText)).toEqual({ value: JSON.parse(inText) });
    const many = (parts: number) => `[${'{},'.repeat(parts - 2)}{}]`;
    expect(read(many(500_000))).toHaveProperty('value');
    expect(read(many(500_001))).toEqual({ problem: expect.stringContaining('500000 objects') });
    for (const text of ['"', '"\\', '[', ']', '{"a', '"\\"']) {
      expect(read(text)).toEqual({ problem: 'valid JSON' });
    }
  });

  it('names the first byte that is no UTF-8, and passes over a mark at the start', () => {
    const latin = Buffer.from('{"name":"jos\xe9@"}', 'latin1');
    expect(read(latin)).toEqual({ problem: expect.stringContaining('the byte at 12') });
    expect(read(Buffer.concat([Buffer.from('\ufeff'), latin]))).toEqual({
      problem: expect.stringContaining('the byte at 15'),
    });
    expect(read('\ufeff{"name":"josé�"}')).toEqual({ value: { name: 'josé�' } });
    expect(read('{"a":}')).toEqual({ problem: 'valid JSON' });
  });
});
