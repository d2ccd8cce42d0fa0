import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it, onTestFinished } from 'vitest';
import { startServer } from '../../services/server/serve.ts';
import { PERSONAL, received } from '../support/events.ts';
import { subjectOf } from '../support/reading.ts';
import { openTestStore } from '../support/temporary-store.ts';

const INFRA = join(import.meta.dirname, '../../infra');
const OWN = /\blethe_[a-z0-9_]+/g;
const NAME = 'planted-person';

/** The sum of a metric over its labels. */
function sumOf(text: string, name: string, label = ''): number {
  const lines = text.split('\n').filter((line) => {
    return (line.startsWith(`${name} `) || line.startsWith(`${name}{`)) && line.includes(label);
  });
  return lines.reduce((sum, line) => sum + Number(line.split(' ').at(-1)), 0);
}

async function openServed() {
  const store = await openTestStore();
  const { accessKeys } = store.backends.administration();
  const { id, secret } = await accessKeys.create({ app: store.app.id, scope: 'app', nowMs: 1 });
  const server = await startServer(store);
  onTestFinished(() => server.stop());
  const authorization = `Basic ${Buffer.from(`${id}:${secret}`).toString('base64')}`;
  const base = `${server.address}/v2/apps/${store.app.id}`;
  const call = (method: string, path: string, body?: object, headers = {}) => {
    const sent = body && { body: JSON.stringify(body) };
    const type = body && { 'content-type': 'application/json' };
    return fetch(`${base}${path}`, {
      method,
      ...sent,
      headers: { authorization, ...type, ...headers },
    });
  };
  const metrics = async () => (await fetch(`${server.address}/metrics`)).text();
  return { store, call, metrics };
}

describe('the metrics', () => {
  it('tell what was taken in, sealed, read, cached and erased, and name nobody', async () => {
    const { store, call, metrics } = await openServed();
    const batch = ['1', '2', '3', '3'].map((id) => {
      return received(NAME, 'planted words', { id, conversation: PERSONAL });
    });
    const posted = await call('POST', '/events', batch);
    const headers = { 'lethe-wait-for': posted.headers.get('lethe-position')! };
    const subject = await subjectOf(store, NAME);
    const [entry] = await store.backends.reader().directory.subjects(store.app.id, [subject]);
    const page = `/conversations/${entry!.value.defaultConversation}/messages`;
    for (let i = 0; i < 3; i += 1)
      expect((await call('GET', page, undefined, headers)).ok).toBe(true);
    const before = await metrics();
    expect(sumOf(before, 'lethe_ingest_items_total', 'accepted')).toBe(3);
    expect(sumOf(before, 'lethe_ingest_items_total', 'duplicate')).toBe(1);
    expect(sumOf(before, 'lethe_events_sealed_total')).toBeGreaterThanOrEqual(3);
    expect(sumOf(before, 'lethe_events_unsealed_total')).toBeGreaterThanOrEqual(9);
    expect(sumOf(before, 'lethe_views_behind_events')).toBe(0);
    expect(sumOf(before, 'lethe_views_offset')).toBeGreaterThanOrEqual(3);
    expect(sumOf(before, 'lethe_cache_pages_total', 'hits')).toBe(2);
    expect(sumOf(before, 'lethe_lease_left_seconds')).toBeGreaterThan(0);
    expect(sumOf(before, 'lethe_kms_calls_total')).toBeGreaterThan(0);
    const erased = await call('DELETE', `/users/${entry!.value.alias}`);
    expect(erased.ok).toBe(true);
    const after = await metrics();
    expect(sumOf(after, 'lethe_erasure_t0_seconds_count')).toBe(1);
    expect(sumOf(after, 'lethe_erasures_open')).toBe(0);
    expect(before + after).not.toMatch(/planted/);
    expect(before + after).not.toContain(entry!.value.alias);
  });

  it('are those that dashboard, alerts and their page name, and no others', async () => {
    const { metrics } = await openServed();
    // A duration is a family of three.
    const family = (name: string) => name.replace(/_(bucket|sum|count)$/, '');
    const namesIn = (text: string) => new Set((text.match(OWN) ?? []).map(family));
    const told = namesIn(await metrics());
    const listed = namesIn(readFileSync(join(INFRA, 'runbooks/metrics.md'), 'utf8'));
    expect([...listed].sort()).toEqual([...told].sort());
    for (const file of ['dashboards/lethe.json', 'alerts/lethe.yml']) {
      const named = namesIn(readFileSync(join(INFRA, file), 'utf8'));
      expect(named.size).toBeGreaterThan(3);
      expect([...named].filter((name) => !told.has(name))).toEqual([]);
    }
  });

  it('have alerts, each with a runbook that is there', () => {
    const alerts = readFileSync(join(INFRA, 'alerts/lethe.yml'), 'utf8');
    const names = [...alerts.matchAll(/alert: (\w+)/g)].map(([, name]) => name);
    const runbooks = [...alerts.matchAll(/runbook: (\S+)/g)].map(([, path]) => path!);
    expect(runbooks).toHaveLength(names.length);
    for (const path of runbooks) {
      const [file, heading] = path.split('#') as [string, string];
      const text = readFileSync(join(INFRA, '..', file), 'utf8');
      const headings = [...text.matchAll(/^## (.+)$/gm)].map(([, one]) => one!);
      const anchors = headings.map((one) => one.toLowerCase().replaceAll(' ', '-'));
      expect(anchors).toContain(heading);
    }
  });
});
