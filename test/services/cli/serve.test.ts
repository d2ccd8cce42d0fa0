import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { startLethe } from '../../support/processes.ts';
import { temporaryFolder } from '../../support/temporary-store.ts';

const PRELOAD = join(import.meta.dirname, '../../support/end-when-listening.ts');

describe('lethe serve', () => {
  it.each([[[]], [['projector']]])(
    '%j that is asked to end as soon as it has said that it listens ends in order',
    async (services) => {
      const more = { NODE_OPTIONS: `--import=${PRELOAD}` };
      const ended = await startLethe(temporaryFolder(), ['serve', ...services], more).ended;
      expect(ended).toMatchObject({ code: 0, signal: null });
      expect(ended.out).toContain('listening');
    },
  );
});
