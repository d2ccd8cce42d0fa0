import { DatabaseSync, type SQLInputValue } from 'node:sqlite';
import { describe, expect, it, onTestFinished } from 'vitest';
import { NO_ID } from '../../../../libs/base/ids.ts';
import { decodeSealedEvent, type SealedEvent } from '../../../../libs/codec/sealed-event.ts';
import { fileOf } from '../../../../libs/configuration/configuration.ts';
import { rowKinds } from '../../../../libs/vault/rows/vault-store.ts';
import { createApp } from '../../../../services/operations/create-app.ts';
import { turnEpoch } from '../../../../services/operations/turn-epoch.ts';
import { createPrivacy } from '../../../../services/privacy/doors/privacy.ts';
import { received } from '../../../support/events.ts';
import { copyFiles, countOpening, joinCopies, openCopy } from '../../../support/old-copies.ts';
import { recordsOf, subjectOf } from '../../../support/reading.ts';
import { openTestStore, type TestStore } from '../../../support/temporary-store.ts';

type Kind = keyof typeof rowKinds;

const NOBODY = '11'.repeat(16);
const OTHER_ID = '22'.repeat(16);

/** Two tenants; somebody of the second was erased. */
async function openTenants() {
  const store = await openTestStore();
  await store.deliver(received('ann', 'hers', { id: 'a' }), received('ben', 'his', { id: 'b' }));
  await createApp(store.backends.administration(), { name: 'other', buckets: 16 });
  const events = await eventsOf(store);
  const older = copyFiles(store, 'older');
  const ann = await subjectOf(store, 'ann');
  const erased = await createPrivacy(store.backends.privacy()).eraseSubject(store.app.id, ann);
  if (erased.status !== 'done') throw new Error(erased.status);
  const vault = new DatabaseSync(fileOf(store.configuration.vault));
  onTestFinished(() => vault.close());
  return { store, vault, erasure: erased.erasure, events, older };
}

async function eventsOf(store: TestStore): Promise<SealedEvent[]> {
  const events: SealedEvent[] = [];
  for await (const { value } of recordsOf(store)) events.push(decodeSealedEvent(value));
  return events;
}

/** Writes rows of a kind that nobody made, of every shape, wherever there is none yet. */
function forge(store: TestStore, vault: DatabaseSync, kind: Kind): void {
  const roots = vault
    .prepare('SELECT wrapping_key, own_key FROM vault_rows WHERE own_key IS NOT NULL')
    .all() as { wrapping_key: Uint8Array; own_key: Uint8Array }[];
  const known = roots.flatMap((row) => [row.wrapping_key, row.own_key]);
  const names = [...new Map(known.map((id) => [Buffer.from(id).toString('hex'), id])).values()];
  const wrappings: SQLInputValue[] = [...names, Buffer.alloc(16, 7), Buffer.alloc(3), 5, 'text'];
  const own: SQLInputValue[] = [null, Buffer.alloc(16, 9), Buffer.alloc(1), 4];
  const wrapped: SQLInputValue[] = [Buffer.alloc(60, 1), Buffer.alloc(0), 6, 'text'];
  const insert = vault.prepare(`INSERT OR IGNORE INTO vault_rows VALUES
    (?, ?, ?, ?, ?, ?, x'', x'', ?, NULL, NULL, NULL)`);
  let at = 0;
  for (const app of [NO_ID, store.app.id, NOBODY]) {
    for (const id of [NO_ID, app, OTHER_ID]) insertAll(app, id);
    for (let bucket = 0; bucket < 16; bucket += 1) {
      insertAll(app, bucket.toString(16).padStart(32, '0'));
    }
    for (let i = 0; i < wrappings.length * own.length; i += 1) {
      insertAll(app, (i + 1).toString(16).padStart(4, '0').padEnd(32, '3'));
    }
  }

  function insertAll(app: string, id: string): void {
    at += 1;
    const key = Buffer.concat([
      Buffer.from(app, 'hex'),
      Buffer.from([rowKinds[kind]]),
      Buffer.from(id, 'hex'),
    ]);
    const pick = (values: SQLInputValue[], step: number) =>
      values[Math.floor(at / step) % values.length]!;
    const bucket = Number.parseInt(id.slice(0, 4), 16) % store.app.buckets;
    insert.run(
      key,
      at % 5 === 0 ? at : bucket,
      at % 3 === 0 ? 7 : 1,
      at % 7 === 0 ? 3 : 1,
      pick(wrappings, 1),
      pick(own, wrappings.length),
      pick(wrapped, 3),
    );
  }
}

describe('S51 rows of the vault that somebody without a key makes up', () => {
  const kinds = Object.keys(rowKinds) as Kind[];
  const before = kinds.map((kind) => [kind, 'before a turn'] as const);
  const during = kinds.map((kind) => [kind, 'while a turn runs'] as const);
  it.each([...before, ...during])(
    'keep no turn from its end, and no T1 is told while an old copy opens: %s, %s',
    async (kind, when) => {
      const { store, vault, erasure, events, older } = await openTenants();
      if (when === 'before a turn') forge(store, vault, kind);
      const again = await store.reopen();
      let isForged = when === 'before a turn';
      const { turn } = await turnEpoch(again, (step) => {
        if (isForged || !step.endsWith(': apps')) return;
        isForged = true;
        forge(store, vault, kind);
      });
      expect(isForged).toBe(true);
      expect(turn).toMatchObject({ step: 'done', failedApps: [] });
      const afterlife = await again.backends.privacy().requests.afterlife(erasure);
      expect(afterlife!.t1AtMs).not.toBeNull();
      const joined = { name: 'joined', keys: 'roots' as const };
      const copy = await openCopy(
        store,
        joinCopies(store, [older, copyFiles(store, 'now')], joined),
      );
      onTestFinished(() => copy.close());
      expect(await countOpening(copy, events)).toBe(0);
    },
  );

  it('pass for no root that a turn has replaced: the app gets a new one', async () => {
    const { store, vault, events, older } = await openTenants();
    const { turn } = await turnEpoch(store, (step) => {
      if (!step.endsWith(': apps')) return;
      const app = Buffer.from(store.app.id, 'hex');
      const key = Buffer.concat([app, Buffer.from([rowKinds.appRootPrevious]), app]);
      vault
        .prepare(
          `INSERT OR IGNORE INTO vault_rows SELECT ?, 0, 1, 1, own_key, ?, x'', x'', ?, NULL, NULL,
            NULL FROM vault_rows WHERE hex(substr(key, 17, 1)) = '08'`,
        )
        .run(key, Buffer.alloc(16, 9), Buffer.alloc(77, 1));
    });
    expect(turn).toMatchObject({ step: 'done', failedApps: [] });
    const joined = { name: 'joined', keys: 'roots' as const };
    const copy = await openCopy(store, joinCopies(store, [older, copyFiles(store, 'now')], joined));
    onTestFinished(() => copy.close());
    expect(await countOpening(copy, events)).toBe(0);
  });
});
