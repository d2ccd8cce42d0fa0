/**
 * Command to T0 of a person with 1,000,000 events against one with 1,000, each erased in a process'
 * own store that is put back before; and how often the KMS was called for all those events.
 */
import { cpSync, rmSync } from 'node:fs';
import type { SubjectId } from '../../libs/base/ids.ts';
import { fileOf } from '../../libs/configuration/configuration.ts';
import { type Backends, openBackends } from '../../libs/wiring/open-backends.ts';
import { createPrivacy } from '../../services/privacy/doors/privacy.ts';
import { addMessages, firstMessage } from './bench-people.ts';
import { newBenchStore } from './bench-store.ts';
import { median } from './statistics.ts';

const EVENTS = { large: 1_000_000, small: 1_000 };
const ROUNDS = 6;

async function eraseToT0(backends: Backends, app: string, subject: string): Promise<number> {
  const powers = backends.privacy();
  let t0Ms = 0;
  const keyring = {
    ...powers.keyring,
    async passHolders() {
      const passed = await powers.holders.passHolders();
      t0Ms ||= performance.now();
      return passed;
    },
  };
  const began = performance.now();
  const privacy = createPrivacy({ ...powers, keyring });
  const outcome = await privacy.eraseSubject(app as never, subject as SubjectId);
  if (outcome.status !== 'done') throw new Error(outcome.status);
  return t0Ms - began;
}

/** Times in milliseconds, medians of rounds that alternate; the first round warms up. */
export async function benchErase() {
  const store = await newBenchStore();
  const { configuration, app } = store;
  const small = await firstMessage(store, 'small');
  await addMessages(store.backends, small, EVENTS.small);
  const large = await firstMessage(store, 'large');
  const before = store.backends.kmsCallCount();
  await addMessages(store.backends, large, EVENTS.large);
  const kmsCalls = store.backends.kmsCallCount() - before;
  await store.backends.close();
  const vaultFile = fileOf(configuration.vault);
  const kept = `${vaultFile}.kept`;
  cpSync(vaultFile, kept);
  const times: Record<string, number[]> = { small: [], large: [] };
  for (let round = 0; round < ROUNDS; round += 1) {
    for (const [name, { header }] of Object.entries({ small, large })) {
      for (const end of ['', '-wal', '-shm']) rmSync(vaultFile + end, { force: true });
      cpSync(kept, vaultFile);
      const backends = await openBackends(configuration);
      const ms = await eraseToT0(backends, app.id, header.owner);
      await backends.close();
      if (round > 0) times[name]!.push(ms);
    }
  }
  rmSync(store.folder, { recursive: true, force: true });
  const [smallMs, largeMs] = [median(times.small!), median(times.large!)];
  return { events: EVENTS, smallMs, largeMs, ratio: largeMs / smallMs, kmsCalls };
}
