import { describe, expect, it, vi } from 'vitest';
import { received } from '../../support/events.ts';
import { lethe, startLethe } from '../../support/processes.ts';
import { newStoreFolder, openAt } from '../../support/temporary-store.ts';

describe('an erase that Ctrl-C interrupts', () => {
  it('says that it may stand; the next privacy service finishes it', async () => {
    const folder = await newStoreFolder();
    const app = (await lethe(folder, ['apps', 'create', 'demo', '--buckets', '16'])).json.app.id;
    const store = await openAt(folder, {}, app);
    await store.deliver(received('ann', 'words', { id: 'ann' }));
    const person = ['find', 'chat', 'ann', '--app', 'demo'];
    const { subjectId } = (await lethe(folder, person)).json;
    const late = { LETHE_LEASE_MS: '3000' };
    const reader = startLethe(folder, ['serve', 'reader'], late);
    await reader.printed('listening');
    reader.child.kill('SIGSTOP');
    const erase = startLethe(folder, ['erase', 'subject', subjectId, '--app', 'demo'], late);
    const { requests } = store.backends.privacy();
    await vi.waitFor(async () => expect(await requests.open(1)).toHaveLength(1), 5_000);
    erase.child.kill('SIGINT');
    const ended = await erase.ended;
    expect(ended).toMatchObject({ signal: 'SIGINT', out: '' });
    expect(ended.err).toContain('may stand');
    reader.child.kill('SIGKILL');
    startLethe(folder, ['serve', 'privacy'], late);
    await vi.waitFor(async () => expect(await requests.open(1)).toEqual([]), 25_000);
    expect((await lethe(folder, person)).code).toBe(5);
  });
});
