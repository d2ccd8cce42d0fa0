import { describe, it } from 'vitest';
import { searchAfterErase } from '../support/memory-drill.ts';

// Only Linux shows the memory of a process as a file; the drill of this runs there too.
const isLinux = process.platform === 'linux';

describe('S48 after T0 and after T1 the memory of a server', () => {
  it.skipIf(!isLinux)(
    'holds no key material of the erased, and no retired root',
    async () => {
      await searchAfterErase({ isApart: false, isBusy: false, messages: 5 });
    },
    120_000,
  );
});
