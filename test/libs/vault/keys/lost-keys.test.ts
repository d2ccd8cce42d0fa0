import { describe, expect, it, onTestFinished } from 'vitest';
import { isLetheError } from '../../../../libs/base/lethe-error.ts';
import { createSystemRandomness } from '../../../../libs/base/random.ts';
import { HmacKey } from '../../../../libs/codec/hash.ts';
import { WrappingKey } from '../../../../libs/keyring/wrapping-key.ts';
import { withStruck } from '../../../../libs/vault/feed/roster.ts';
import { createPrivacy } from '../../../../services/privacy/doors/privacy.ts';
import { PERSONAL, received } from '../../../support/events.ts';
import { defaultConversationOf, groupOf, subjectOf, textsOf } from '../../../support/reading.ts';
import { openAt, openTestStore, type TestStore } from '../../../support/temporary-store.ts';
import { openVaultParts } from '../../../support/vault-parts.ts';

const READS_MAX = 30;
let later = 0;

/** At the given read of the vault, the process finds itself struck off and loses all its keys. */
async function loseKeysAt(store: TestStore, nth: number): Promise<() => boolean> {
  const vault = store.backends.vaultStore();
  const { feed, lease } = await openVaultParts(store);
  onTestFinished(() => lease.close());
  // Its key is loaded now, not at the read that is looked for.
  await feed.roster('');
  const { keyring } = store.backends.reader();
  const { read } = vault;
  let reads = 0;
  vault.read = async (keys) => {
    reads += 1;
    const rows = await read.call(vault, keys);
    if (reads === nth) {
      const { incarnation } = await feed.head();
      const holder = store.backends.attacks.holderId()!;
      await feed.changeRoster(incarnation, (roster) => withStruck(roster, holder, Date.now()));
      await keyring.revoked([], 'now');
    }
    return rows;
  };
  onTestFinished(() => {
    vault.read = read;
  });
  return () => reads >= nth;
}

describe('a key that is lost while somebody waits for something', () => {
  it('wraps, unwraps and hashes nothing any more', () => {
    const key = new WrappingKey('k' as never, Buffer.alloc(32, 1), createSystemRandomness());
    const wrapped = key.wrap(Buffer.from('plain'), Buffer.alloc(0));
    const hmac = new HmacKey(Buffer.alloc(32, 1));
    key.destroy();
    hmac.destroy();
    const contended = expect.objectContaining({ code: 'CONTENDED', retryable: true });
    expect(() => key.wrap(Buffer.from('plain'), Buffer.alloc(0))).toThrow(contended);
    expect(() => key.unwrap(wrapped, Buffer.alloc(0))).toThrow(contended);
    expect(() => hmac.digestFields(Buffer.alloc(16), ['name'])).toThrow(contended);
  });

  it.each(['clear', 'arrive', 'turn'])(
    'at any read of the vault costs time alone, and no row: %s',
    async (what) => {
      for (let nth = 1, isMet = true; isMet && nth <= READS_MAX; nth += 1) {
        const store = await openTestStore();
        await store.deliver(
          received('ann', 'hers', { id: '1', conversation: PERSONAL }),
          received('ben', 'his', { id: '2' }),
        );
        const privacy = createPrivacy(store.backends.privacy());
        await privacy.eraseSubject(store.app.id, await subjectOf(store, 'ann'));
        const wasMet = await loseKeysAt(store, nth);
        const work = {
          clear: async () => privacy.clearConversation(store.app.id, await groupOf(store)),
          arrive: () => store.deliver(received('cem', 'new here', { id: '3' })),
          turn: () => {
            later += 120_000;
            return store.backends.epoch().turn({ nowMs: () => Date.now() + later });
          },
        }[what]!;
        const failed = await work().then(
          () => undefined,
          (error: unknown) => error,
        );
        if (failed !== undefined) {
          expect(isLetheError(failed) && failed.retryable, `read ${nth}: ${failed}`).toBe(true);
          await work();
        }
        isMet = wasMet();
        const cold = await openAt(store.folder, {}, store.app.id);
        const found = await cold.backends.vaultCheck();
        expect(found, `read ${nth}`).toMatchObject({ tampered: 0, missing: 0 });
        if (what !== 'clear') expect(await textsOf(cold, await groupOf(cold))).toContain('his');
        if (what === 'arrive') await defaultConversationOf(cold, 'cem').catch(() => undefined);
        await cold.backends.close();
        await store.ingest.close();
        await store.backends.close();
      }
    },
    120_000,
  );
});
