import fc from 'fast-check';
import { expect, it } from 'vitest';
import { HeldBytes } from '../../../libs/http/held-bytes.ts';

const MAX = 1_000_000;
const APPS = 8;

const asked = fc.record({
  app: fc.integer({ min: 1, max: APPS }).map(String),
  bytes: fc.integer({ min: 1, max: MAX }),
  isLetGo: fc.boolean(),
});

it('whatever some apps hold, all together stay within the bound, and another gets room', () => {
  fc.assert(
    fc.property(fc.array(asked, { maxLength: 200 }), (steps) => {
      const held = new HeldBytes(MAX, 'no room');
      const given: { app: string; bytes: number }[] = [];
      for (const { app, bytes, isLetGo } of steps) {
        const last = isLetGo ? given.pop() : undefined;
        if (last) held.letGo(last.app, last.bytes);
        try {
          held.hold(app, bytes);
          given.push({ app, bytes });
        } catch (error) {
          expect(error).toMatchObject({ status: 503 });
        }
      }
      expect(given.reduce((sum, { bytes }) => sum + bytes, 0)).toBeLessThan(MAX);
      held.hold('another', 1);
    }),
  );
});

it('an app that is alone has half of the room', () => {
  const held = new HeldBytes(MAX, 'no room');
  held.hold('one', MAX / 2);
  expect(() => held.hold('one', 1)).toThrow('no room');
  held.hold('two', MAX / 4);
  held.letGo('one', MAX / 2);
  held.hold('two', MAX / 4);
});
