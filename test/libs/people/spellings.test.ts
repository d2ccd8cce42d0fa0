import { describe, expect, it } from 'vitest';
import { areNear } from '../../../libs/people/spellings.ts';

describe('spellings of an identity', () => {
  it.each([
    ['+49 151 2345678', '491512345678'],
    ['+491512345678', '491512345678'],
    ['0049 (151) 234-5678', '+491512345678'],
    ['0151 2345678', '+491512345678'],
    ['whatsapp:+491512345678', '491512345678'],
    ['ann@example.org', 'Ann@Example.org'],
    [' ann@example.org ', 'mailto:ann@example.org'],
    ['Zoe\u0301', 'zo\u00e9'],
    ['ａｎｎ', 'ann'],
    ['U02\u00a0AB', 'u02ab'],
  ])('%s and %s are near', (one, other) => {
    expect(areNear(one, other)).toBe(true);
    expect(areNear(other, one)).toBe(true);
  });

  it.each([
    ['491512345678', '491512345679'],
    ['123', '456123'],
    ['ann@example.org', 'anna@example.org'],
    ['ann@example.org', 'ann@example.com'],
    ['ann', 'ben'],
  ])('%s and %s are not', (one, other) => {
    expect(areNear(one, other)).toBe(false);
    expect(areNear(other, one)).toBe(false);
  });
});
