/**
 * `npm run bench:peers`: our codec beside what a user would pick instead, each in its best cached
 * configuration, with the same 1 KB message in the same run. The peers have a manifest of their own
 * in this folder and are installed when this is run: the product does not depend on them.
 */
import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { sealingWork } from '../sealing-bench.ts';
import { median } from '../statistics.ts';
import { awsEncryptionSdk } from './aws-encryption-sdk.ts';
import { confluentEncryption } from './confluent-encryption.ts';
import type { Peer } from './peer.ts';

const ROUNDS = 7;
const OPERATIONS = { ours: 4_000, theirs: 400 };

function install(): void {
  if (existsSync(join(import.meta.dirname, 'node_modules'))) return;
  const args = ['ci', '--no-audit', '--no-fund', '--ignore-scripts', '--loglevel=error'];
  const stdio = ['ignore', 'ignore', 'inherit'] as const;
  const { status } = spawnSync('npm', args, { cwd: import.meta.dirname, stdio: [...stdio] });
  if (status !== 0) throw new Error('the peers could not be installed');
}

async function perSecond(operations: number, work: (i: number) => unknown): Promise<number> {
  const began = performance.now();
  for (let i = 0; i < operations; i += 1) {
    const result = work(i % 200);
    if (result instanceof Promise) await result;
  }
  return (operations / (performance.now() - began)) * 1_000;
}

async function run() {
  install();
  const { work, text } = sealingWork();
  const peers: Peer[] = [...(await awsEncryptionSdk(text)), ...(await confluentEncryption(text))];
  const sealed: Record<string, number[]> = {};
  const opened: Record<string, number[]> = {};
  const note = (into: Record<string, number[]>, name: string, value: number) => {
    into[name] = [...(into[name] ?? []), value];
  };
  for (let round = 0; round <= ROUNDS; round += 1) {
    const figures: [Record<string, number[]>, string, number][] = [
      [sealed, 'bare AES-256-GCM', await perSecond(OPERATIONS.ours, work.bareSeal)],
      [opened, 'bare AES-256-GCM', await perSecond(OPERATIONS.ours, work.bareOpen)],
      [sealed, 'Lethe', await perSecond(OPERATIONS.ours, work.contentToEnvelope)],
      [opened, 'Lethe', await perSecond(OPERATIONS.ours, work.envelopeToContent)],
    ];
    for (const peer of peers) {
      figures.push([sealed, peer.name, await perSecond(OPERATIONS.theirs, peer.seal)]);
      figures.push([opened, peer.name, await perSecond(OPERATIONS.theirs, peer.open)]);
    }
    if (round > 0) for (const figure of figures) note(...figure);
  }
  const rates = (of: Record<string, number[]>) =>
    Object.fromEntries(Object.entries(of).map(([name, all]) => [name, Math.round(median(all))]));
  const ratio = (of: Record<string, number[]>) => {
    const best = Math.max(...peers.map((peer) => median(of[peer.name]!)));
    return Math.round((median(of.Lethe!) / best) * 100) / 100;
  };
  return {
    message: { bytes: text.length },
    perSecond: { sealed: rates(sealed), opened: rates(opened) },
    ofBestPeer: { sealed: ratio(sealed), opened: ratio(opened) },
  };
}

const result = await run();
const isJson = process.argv.includes('--json');
process.stdout.write(`${JSON.stringify(result, undefined, isJson ? undefined : 2)}\n`);
