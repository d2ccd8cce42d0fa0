import { describe, expect, it } from 'vitest';
import { newClusterId } from './kafka-server.ts';

describe('the id of a Kafka cluster', () => {
  it('has the length that Kafka asks for, and never begins like an option', () => {
    const ids = Array.from({ length: 10_000 }, newClusterId);
    for (const id of ids) expect(id).toMatch(/^[A-Za-z0-9_][A-Za-z0-9_-]{21}$/);
    expect(new Set(ids).size).toBe(ids.length);
  });
});
