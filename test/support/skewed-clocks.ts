/** Clocks of a process whose wall clock is set wrong: by SKEW_MS, which may change at SIGUSR2. */
import { type HolderClocks, systemHolderClocks } from '../../libs/base/clock.ts';

/** The system's clocks, the wall's moved by SKEW_MS once SIGUSR2 arrives. */
export function skewedClocks(): HolderClocks {
  let skewMs = 0;
  process.on('SIGUSR2', () => {
    skewMs = Number(process.env.SKEW_MS ?? 0);
  });
  return {
    monotonicMs: systemHolderClocks.monotonicMs,
    wallMs: () => systemHolderClocks.wallMs() + skewMs,
  };
}
