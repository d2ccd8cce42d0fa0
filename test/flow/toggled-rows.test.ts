import { renameSync } from 'node:fs';
import { join } from 'node:path';
import { performance } from 'node:perf_hooks';
import { describe, expect, it, onTestFinished, vi } from 'vitest';
import type { RequestId } from '../../libs/base/ids.ts';
import { fileOf } from '../../libs/configuration/configuration.ts';
import { ringKinds } from '../../libs/sealing/tree-path.ts';
import { rowKinds } from '../../libs/vault/rows/vault-store.ts';
import { openBackends } from '../../libs/wiring/open-backends.ts';
import { makeBackup } from '../../services/operations/backup.ts';
import { restore } from '../../services/operations/restore.ts';
import { revokeKey } from '../../services/operations/revoke-key.ts';
import { turnEpoch } from '../../services/operations/turn-epoch.ts';
import { createPrivacy } from '../../services/privacy/doors/privacy.ts';
import { quietRestore } from '../support/friends.ts';
import { groupOf, subjectOf, textsOf } from '../support/reading.ts';
import { eraseAnn, lookTwice } from '../support/request-rows.ts';
import { openAt, type TestStore } from '../support/temporary-store.ts';
import { hex, kindOf, openPeople, openVault, put, rowsOf } from '../support/vault-rows.ts';

// Who can write the tables, but holds no key, writes old rows back for a moment, or where nobody
// looks who looks at the list of erasures.

/** Another process that uses keys of a store. */
async function openReader({ configuration }: TestStore) {
  const reader = await openBackends(configuration);
  onTestFinished(() => reader.close());
  return reader;
}

describe('S51 an old ring that lies there for a moment', () => {
  /** Ann is erased; a process that has begun since reads her ring while it is there again. */
  async function readForAMoment() {
    const store = await openPeople();
    const ann = await subjectOf(store, 'ann');
    const { vault, old } = await eraseAnn(store);
    const ring = old.filter((row) => kindOf(row) === rowKinds.ownerRing && hex(row).endsWith(ann));
    const fence = rowsOf(vault).filter((row) => hex(row) === hex(ring[0]!));
    const reader = await openReader(store);
    const ref = { app: store.app.id, kind: ringKinds.owner, id: ann };
    const outcome = () => reader.reader().keyring.use([ref], async ([one]) => typeof one);
    put(vault, ring);
    expect(await outcome()).toBe('object');
    put(vault, fence);
    return { store, outcome };
  }

  it('opens nothing any more half a minute later', async () => {
    const { outcome } = await readForAMoment();
    const now = performance.now.bind(performance);
    vi.spyOn(performance, 'now').mockImplementation(() => now() + 31_000);
    onTestFinished(() => void vi.restoreAllMocks());
    expect(await outcome()).toBe('string');
  });

  it('opens nothing once a turn has ended', async () => {
    const { store, outcome } = await readForAMoment();
    await turnEpoch(store);
    expect(await outcome()).toBe('string');
  });
});

describe('S51 a revoked access key', () => {
  it('whose secret somebody makes openable again is ended once more, whatever its row says', async () => {
    const store = await openPeople();
    const powers = store.backends.administration();
    const { clock, accessKeys } = powers;
    const made = await accessKeys.create({ app: store.app.id, scope: 'app', nowMs: clock.nowMs() });
    const vault = openVault(fileOf(store.configuration.vault));
    const before = rowsOf(vault);
    await revokeKey(powers, made.id);
    const now = new Set(rowsOf(vault).map(hex));
    put(
      vault,
      before.filter((row) => !now.has(hex(row))),
    );
    const again = await store.reopen();
    const key = { id: made.id, app: store.app.id };
    const { accessKeys: keys } = again.backends.administration();
    expect(await keys.isOpen(key)).toBe(true);
    const told = await lookTwice(again);
    expect(told).toEqual([expect.stringContaining(`the access key ${made.id} had been revoked`)]);
    expect(await keys.isOpen(key)).toBe(false);
  });

  it('is ended by a restore also where the backup’s row of it was taken away', async () => {
    const store = await openPeople();
    const powers = store.backends.administration();
    const given = { app: store.app.id, scope: 'app' as const, nowMs: powers.clock.nowMs() };
    const made = await powers.accessKeys.create(given);
    const { folder: backup } = await makeBackup(store, join(store.folder, 'mine'), Date.now());
    await revokeKey(powers, made.id);
    openVault(join(backup, 'lethe.db')).exec('DELETE FROM access_keys');
    await store.ingest.close();
    await store.backends.close();
    renameSync(join(store.folder, 'data'), join(store.folder, 'lost'));
    await restore(store.configuration, backup, quietRestore);
    const again = await openAt(store.folder, {}, store.app.id);
    const { accessKeys } = again.backends.administration();
    expect(await accessKeys.isOpen({ id: made.id, app: store.app.id })).toBe(false);
  });
});

describe('S51 an erasure that stopped when it was listed, and whose row was removed', () => {
  async function stopListed() {
    const store = await openPeople();
    const subject = await subjectOf(store, 'ann');
    const { folder: backup } = await makeBackup(store, join(store.folder, 'mine'), Date.now());
    const { clock, erasures } = store.backends.privacy();
    const asked = { id: '0a'.repeat(16) as RequestId, loss: '0b'.repeat(16) as never };
    const what = { app: store.app.id, kind: 'erase-subject' as const, target: { subject } };
    await erasures.add([{ ...asked, ...what, atMs: clock.nowMs() }]);
    const privacy = createPrivacy(store.backends.privacy());
    expect((await privacy.hold(store.app.id, subject)).status).toBe('held');
    return { store, subject, backup };
  }

  it('takes nothing of somebody who is held since, when a backup is restored', async () => {
    const { store, backup } = await stopListed();
    await store.ingest.close();
    await store.backends.close();
    renameSync(join(store.folder, 'data'), join(store.folder, 'lost'));
    await restore(store.configuration, backup, quietRestore);
    const again = await openAt(store.folder, {}, store.app.id);
    expect(await textsOf(again, await groupOf(again))).toEqual(['hers', 'his']);
    const { keyringHold } = again.backends.privacy();
    expect(await keyringHold.areHeld(again.app.id, [await subjectOf(again, 'ann')])).toEqual([
      true,
    ]);
  });

  it('takes nothing of theirs in a turn', async () => {
    const { store } = await stopListed();
    const group = await groupOf(store);
    const { turn } = await turnEpoch(store);
    expect(turn.failedApps).toEqual([]);
    const again = await store.reopen();
    expect(await textsOf(again, group)).toEqual(['hers', 'his']);
    expect(await again.backends.vaultCheck()).toMatchObject({ tampered: 0, missing: 0 });
  });
});
