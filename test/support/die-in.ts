/**
 * Run as a process of its own: does one privacy operation and kills itself (SIGKILL) right before
 * or after its n-th durable write, so that every gap between two writes is met. With n = 0 it
 * lives, and prints how many gaps there were.
 */

import { setTimeout as sleep } from 'node:timers/promises';
import { DAY_MS } from '../../libs/base/day.ts';
import { readConfiguration } from '../../libs/configuration/configuration.ts';
import { rebuildViews } from '../../libs/projection/project.ts';
import { type Backends, openBackends } from '../../libs/wiring/open-backends.ts';
import type { PrivacyPowers } from '../../libs/wiring/powers.ts';
import { turnEpoch } from '../../services/operations/turn-epoch.ts';
import { createPrivacy } from '../../services/privacy/doors/privacy.ts';
import { reclaim } from '../../services/privacy/life/reclaim.ts';
import type { Prey } from './kill-drill.ts';

const [operation, preyText, gapText] = process.argv.slice(2);
const prey = JSON.parse(preyText!) as Prey;
const gap = Number(gapText);
let gaps = 0;

function dieAtGap(): void {
  gaps += 1;
  if (gaps === gap) process.kill(process.pid, 'SIGKILL');
}

/** These methods die at their turn, before or after their work. */
function dying<Port extends object>(port: Port, names = Object.keys(port)): Port {
  const wrapped = names.map((name) => {
    const method = port[name as keyof Port] as unknown;
    if (typeof method !== 'function') return [name, method];
    const call = async (...given: unknown[]) => {
      dieAtGap();
      const result = await method.apply(port, given);
      dieAtGap();
      return result;
    };
    return [name, call];
  });
  return { ...port, ...Object.fromEntries(wrapped) };
}

function mortal(backends: Backends): PrivacyPowers {
  const powers = backends.privacy();
  return {
    ...powers,
    requests: dying(powers.requests, ['add', 'record', 'finish', 'reach']),
    erasures: dying(powers.erasures, ['add']),
    certificates: dying(powers.certificates, ['issue', 'complete']),
    log: dying(powers.log, ['append', 'remove']),
    keyringShred: dying(powers.keyringShred, ['shred', 'puncture']),
    holders: dying(powers.holders, ['passHolders']),
    directoryShred: dying(powers.directoryShred),
  };
}

const variables = Object.entries(process.env).filter(([name]) => name.startsWith('LETHE_'));
const configuration = readConfiguration(Object.fromEntries(variables));
const aheadMs = operation === 'reclaim' ? 40 * DAY_MS : 0;
const backends = await openBackends(configuration, {
  clock: { nowMs: () => Date.now() + aheadMs },
});
// The vault's own commits too: between a fence and its entry in the feed, above all.
const vault = backends.vaultStore();
vault.commit = dying({ commit: vault.commit.bind(vault) }).commit;
const powers = mortal(backends);
const privacy = createPrivacy(powers);

const operations: Record<string, () => Promise<unknown>> = {
  erase: () => privacy.eraseSubject(prey.app, prey.subject),
  'forget message': () => privacy.forgetMessage(prey.app, prey.group, prey.message),
  'forget days': () => privacy.forgetDays(prey.app, { ...prey.days, subject: prey.subject }),
  turn: () => turnEpoch({ backends, configuration }),
  reclaim: () => {
    const writes = ['beginGeneration', 'apply', 'switchTo'];
    const { log, views } = backends.projector();
    const projector = {
      log: dying(log, ['saveCheckpoints', 'dropGroup']),
      views: dying(views, writes),
    };
    const { keyring } = backends.reader();
    return reclaim(powers, {
      rebuildViews: () => rebuildViews(projector, keyring, () => undefined),
    });
  },
};
process.stdout.write('ready\n');
// Whoever kills at a moment of their choice may choose the first.
if (gap === 0) await sleep(5);
await operations[operation!]!();
await backends.close();
process.stdout.write(`finished ${gaps}`);
