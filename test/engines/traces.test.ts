import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { describe, expect, it, onTestFinished } from 'vitest';
import { readConfiguration } from '../../libs/configuration/configuration.ts';
import { removeEngines } from '../../libs/wiring/throwaway-engines.ts';
import { PERSONAL, received } from '../support/events.ts';
import { lethe, startLethe } from '../support/processes.ts';
import { storeVariables, temporaryFolder } from '../support/temporary-store.ts';

const TRACE = '4bf92f3577b34da6a3ce929d0e0e4736';
const TRACEPARENT = `00-${TRACE}-00f067aa0ba902b7-01`;

interface Span {
  readonly name: string;
  readonly traceId: string;
  readonly links?: readonly { traceId: string }[];
}

/** Takes what processes export (OTLP over HTTP, as JSON). */
async function openCollector() {
  const bodies: string[] = [];
  const server = createServer(async (request, response) => {
    bodies.push((await Array.fromAsync(request)).join(''));
    response.writeHead(200, { 'content-type': 'application/json' }).end('{}');
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  onTestFinished(() => void server.close());
  const spans = (): Span[] =>
    bodies.flatMap((body) =>
      JSON.parse(body).resourceSpans.flatMap((one: { scopeSpans: { spans: Span[] }[] }) =>
        one.scopeSpans.flatMap((scope) => scope.spans),
      ),
    );
  const { port } = server.address() as AddressInfo;
  return { endpoint: `http://127.0.0.1:${port}`, spans, text: () => bodies.join('\n') };
}

describe('a trace', () => {
  it('leads from the door through Kafka to the views, and names nobody', async () => {
    const collector = await openCollector();
    const folder = temporaryFolder();
    const variables = {
      ...storeVariables(folder),
      OTEL_EXPORTER_OTLP_ENDPOINT: collector.endpoint,
      OTEL_BSP_SCHEDULE_DELAY: '200',
    };
    onTestFinished(() => removeEngines(readConfiguration(storeVariables(folder))));
    expect((await lethe(folder, ['migrate'])).code).toBe(0);
    const made = await lethe(folder, ['apps', 'create', 'demo', '--buckets', '16']);
    const { id, secret } = (await lethe(folder, ['keys', 'create', '--app', 'demo'])).json.key;
    const services = ['ingest', 'projector'].map((name) => {
      return startLethe(folder, ['serve', name, '--json'], variables);
    });
    const [door] = await Promise.all(
      services.map(async (one) => JSON.parse((await one.printed('\n')).trim()).listening as string),
    );
    const answer = await fetch(`${door}/v2/apps/${made.json.app.id}/events`, {
      method: 'POST',
      headers: {
        authorization: `Basic ${Buffer.from(`${id}:${secret}`).toString('base64')}`,
        'content-type': 'application/json',
        traceparent: TRACEPARENT,
      },
      body: JSON.stringify([received('planted-person', 'planted', { conversation: PERSONAL })]),
    });
    expect(answer.status).toBe(200);
    const named = (name: string) => collector.spans().filter((span) => span.name === name);
    const projected = () => named('project').flatMap(({ links = [] }) => links);
    const posted = () => named('POST /v2/apps/:appId/events');
    const own = () => posted()[0]?.traceId;
    while (!projected().some(({ traceId }) => traceId === own())) await sleep(100);
    // A trace of its own, which leads back to the caller's; what the caller chose goes no further.
    expect(own()).not.toBe(TRACE);
    expect(posted().flatMap(({ links = [] }) => links.map(({ traceId }) => traceId))).toEqual([
      TRACE,
    ]);
    expect(projected().map(({ traceId }) => traceId)).not.toContain(TRACE);
    expect(named('log append').length).toBeGreaterThan(0);
    expect(named('ingest batch').flatMap(({ links = [] }) => links)[0]!.traceId).toBe(own());
    for (const one of services) one.child.kill('SIGTERM');
    for (const one of services) expect((await one.ended).code).toBe(0);
    expect(collector.text()).not.toMatch(/planted/);
  });
});
