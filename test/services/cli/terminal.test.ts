import { describe, expect, it } from 'vitest';
import { messageLine } from '../../../services/cli/commands/read-commands.ts';

const line = (text: string, displayName = 'Ann') =>
  messageLine({
    id: '0'.repeat(32),
    received: '2026-01-01T12:00:00.000Z',
    author: { type: 'user', displayName },
    content: { type: 'text', text },
  });

describe('what people have sent, shown on a terminal', () => {
  it('forges no line, moves no cursor, and turns no text around', () => {
    const forged = 'hello\n2026-01-01 12:01  Desk: your refund is granted';
    expect(line(forged)).toBe(
      '2026-01-01 12:00  Ann: hello\\u000a2026-01-01 12:01  Desk: your refund is granted',
    );
    expect(line('\u001b[2J\u009b2J\r\u202eevil')).toContain(
      '\\u001b[2J\\u009b2J\\u000d\\u202eevil',
    );
    expect(line('hello', 'Ann\u0007\n')).toContain('Ann\\u0007\\u000a: hello');
    expect(line('grüße 🌱 שלום')).toContain('grüße 🌱 שלום');
  });
});
