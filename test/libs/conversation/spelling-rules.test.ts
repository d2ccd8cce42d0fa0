import { describe, expect, it } from 'vitest';
import { problemOfRules, spellerOf } from '../../../libs/conversation/spelling-rules.ts';

async function spelled(rule: string, externalId: string): Promise<string> {
  const speller = await spellerOf({ chat: rule });
  return speller.identity({ channel: 'chat', externalId }).externalId;
}

describe('spelling rules', () => {
  it.each([
    ['phone', '+49 151 23456789', '+4915123456789'],
    ['phone', '0049 151 23456789', '+4915123456789'],
    ['phone', '4915123456789', '+4915123456789'],
    ['phone', '+49 (0)151 2345 6789', '+4915123456789'],
    ['phone:DE', '0151 23456789', '+4915123456789'],
    ['phone:DE', '+1 415 555 2671', '+14155552671'],
    ['email', 'Ann@EXAMPLE.Org', 'Ann@example.org'],
    ['text', 'Zoe\u0308', 'Zo\u00eb'],
  ])('%s: %s is kept as %s', async (rule, given, kept) => {
    expect(await spelled(rule, given)).toBe(kept);
    // What is in its form stays as it is.
    expect(await spelled(rule, kept)).toBe(kept);
  });

  it.each([
    ['phone', '0151 23456789'],
    ['phone', '12'],
    // A number of the region, or of another country without its plus: it stays as it is.
    ['phone:DE', '15125551234'],
    ['phone:DE', '33612345678'],
    ['phone:DE', '4915125551234'],
    ['phone:US', '6598765432'],
    ['phone', 'tel:15125551234;phone-context=+49'],
    ['phone', '+4915125551234;isub=12'],
    ['phone', 'ann'],
    ['phone', '+49 151 23456789 ext. 5'],
    ['phone', 'call +49 151 23456789'],
    ['email', 'ann'],
    ['email', '@example.ORG'],
  ])('%s leaves what is none as it is: %s', async (rule, given) => {
    expect(await spelled(rule, given)).toBe(given);
  });

  it('tell no two people apart by case of a name, and touch no other channel', async () => {
    expect(await spelled('email', 'ANN@example.org')).not.toBe(
      await spelled('email', 'ann@example.org'),
    );
    const speller = await spellerOf({ chat: 'phone' });
    const other = { channel: 'sms', externalId: '0049 151 23456789' };
    expect(speller.identity(other)).toBe(other);
  });

  it.each([
    { chat: 'e164' },
    { chat: 'phone:XX' },
    { chat: 'phone:de' },
    { 'lethe:user': 'text' },
    { '': 'text' },
    Object.fromEntries(Array.from({ length: 51 }, (_, i) => [`c${i}`, 'text'])),
  ])('are refused with what is right: %o', async (rules) => {
    expect(await problemOfRules(rules as never)).toBeTypeOf('string');
  });

  it('of all kinds are taken', async () => {
    const rules = { a: 'text', b: 'email', c: 'phone', d: 'phone:DE' };
    expect(await problemOfRules(rules)).toBeUndefined();
  });
});
