import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { isLetheError } from '../../libs/base/lethe-error.ts';
import { decodeRecord } from '../../libs/codec/event-record.ts';
import type { SealedEvent } from '../../libs/codec/sealed-event.ts';
import { openBackends } from '../../libs/wiring/open-backends.ts';
import { configurationOf } from '../../services/operations/backup.ts';
import { copyData } from '../../services/operations/copy-data.ts';
import { turnEpoch } from '../../services/operations/turn-epoch.ts';
import { createPrivacy } from '../../services/privacy/doors/privacy.ts';
import { PERSONAL, received } from '../support/events.ts';
import { recordFigures } from '../support/figures.ts';
import { countOpening } from '../support/old-copies.ts';
import { recordsOf, subjectOf } from '../support/reading.ts';
import { openTestStore } from '../support/temporary-store.ts';

const PEOPLE = 6;
const figures: Record<string, unknown> = {};
afterAll(() => recordFigures('old copies of the engines', figures));

describe('an old copy of the vault keyspace, with captured Kafka segments and today’s KMS', () => {
  it('opens what was erased until the epoch is turned; today’s vault opens nothing erased at all', async () => {
    const store = await openTestStore();
    const names = Array.from({ length: PEOPLE }, (_, i) => `person-${i}`);
    await store.deliver(
      ...names.map((name) => received(name, `words of ${name}`, { conversation: PERSONAL })),
    );
    const captured: SealedEvent[] = [];
    for await (const { key, value } of recordsOf(store)) {
      const event = decodeRecord(key, value);
      if (event.header.type === 'MessagePosted') captured.push(event);
    }
    // All rows of the keyspace, as anybody reads them who may read it.
    const copy = join(store.folder, 'copy');
    mkdirSync(copy);
    await copyData(store, copy);
    const erased = new Set<string>();
    for (const name of names.slice(0, PEOPLE / 2)) {
      const subject = await subjectOf(store, name);
      erased.add(subject);
      await createPrivacy(store.backends.privacy()).eraseSubject(store.app.id, subject);
    }
    const gone = captured.filter(({ header }) => erased.has(header.owner));
    const living = captured.filter(({ header }) => !erased.has(header.owner));
    const openOld = () => openBackends(configurationOf(store.configuration, copy));
    const before = await openOld();
    figures['before the turn'] = await countOpening(before, gone);
    await before.close();
    expect(figures['before the turn']).toBe(gone.length);
    await turnEpoch(store);
    const refused = await openOld().catch((error: unknown) => error);
    expect(isLetheError(refused, 'ROOT_KMS_DENIED')).toBe(true);
    figures['after the turn'] = 0;
    expect(await countOpening(store.backends, gone)).toBe(0);
    expect(await countOpening(store.backends, living)).toBe(living.length);
    figures.living = living.length;
  });
});
