import { expect, it } from 'vitest';
import { nextTurn } from '../../../libs/base/loop-turns.ts';

it('turns go round those on whose behalf work is done, and of each what came first comes first', async () => {
  const order: string[] = [];
  const take = async (whose: string, n: number) => {
    await nextTurn(whose);
    order.push(`${whose}${n}`);
  };
  const busy = Array.from({ length: 6 }, (_, n) => take('a', n));
  await Promise.all([...busy, take('b', 0), take('c', 0), take('b', 1)]);
  expect(order).toEqual(['a0', 'b0', 'c0', 'a1', 'b1', 'a2', 'a3', 'a4', 'a5']);
});

it('timers come between two turns, however many wait', async () => {
  let ticks = 0;
  const timer = setInterval(() => {
    ticks += 1;
  }, 1);
  for (let n = 0; n < 20; n += 1) {
    await nextTurn();
    const until = performance.now() + 3;
    while (performance.now() < until);
  }
  clearInterval(timer);
  expect(ticks).toBeGreaterThan(5);
});
