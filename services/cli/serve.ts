/** `lethe serve`: ingest, projector, reader and privacy in one process on one port. */
import type { AddressInfo } from 'node:net';
import type { Configuration } from '../../libs/backends/configuration.ts';
import { lastPositions, projectorGroup, waitForViews } from '../../libs/backends/views-behind.ts';
import { isLetheError, LetheError } from '../../libs/base/lethe-error.ts';
import { HttpError } from '../../libs/http/http-error.ts';
import { createHttpServer, type HttpServer } from '../../libs/http/http-server.ts';
import { addActivityRoutes } from '../ingest/activity-routes.ts';
import { addConversationRoutes } from '../ingest/conversation-routes.ts';
import { addEventRoutes } from '../ingest/event-routes.ts';
import { openIngest } from '../ingest/ingest.ts';
import { addUserRoutes } from '../ingest/user-routes.ts';
import { createPrivacy } from '../privacy/privacy.ts';
import { addPrivacyRoutes } from '../privacy/privacy-routes.ts';
import { runRequestWorker } from '../privacy/request-worker.ts';
import { startProjectorThread } from '../projector/projector-thread.ts';
import { addReaderRoutes } from '../reader/reader-routes.ts';
import { addStreamRoute } from '../reader/stream-route.ts';
import { createApp } from './app-commands.ts';
import { addAppRoutes } from './app-routes.ts';
import { createMetrics } from './metrics.ts';
import type { OpenStore } from './open-store.ts';

/** A server that listens. */
export interface RunningServer {
  readonly address: string;
  /** Stops taking requests, answers those under way, closes everything. */
  stop(): Promise<void>;
  /** Settles when a part that must run has failed. */
  readonly failed: Promise<Error>;
}

const VERSION = '0.1.0';
const SWEEP_INTERVAL_MS = 3_600_000;

/** Makes the first app and its key when there is none; what to print once. */
export async function firstStart({ backends }: OpenStore) {
  const powers = backends.administration();
  if ((await powers.apps.list()).length > 0) return undefined;
  const app = await createApp(powers, { name: 'main' });
  const nowMs = powers.clock.nowMs();
  const key = await powers.accessKeys.create({ app: app.id, scope: 'app', nowMs });
  return { app, key };
}

/** Starts all services and listens. */
export async function startServer(store: OpenStore): Promise<RunningServer> {
  const { backends, configuration } = store;
  const { accessKeys, apps } = backends.administration();
  const metrics = createMetrics();
  const stop = new AbortController();
  const ingestPowers = backends.ingest();
  const readerPowers = backends.reader();
  const privacyPowers = backends.privacy();
  const ingest = await openIngest(ingestPowers);
  const { bodyBytesMax, logLevel } = configuration;
  const { onAnswer } = metrics;
  const options = { accessKeys, apps, bodyBytesMax, logLevel, onAnswer, version: VERSION };
  const server = await createHttpServer(options);

  addReaderRoutes(server, readerPowers);
  const { wake } = backends;
  addStreamRoute(server, readerPowers, { wake, accessKeys, signal: stop.signal });
  addEventRoutes(server, ingest, ingestPowers.clock);
  addUserRoutes(server, ingest, ingestPowers);
  addConversationRoutes(server, ingest, ingestPowers);
  addActivityRoutes(server, ingest, ingestPowers);
  addPrivacyRoutes(server, createPrivacy(privacyPowers), privacyPowers);
  addAppRoutes(server, backends.administration());
  addHealthRoutes(server, store, { metrics, isStopping: () => stop.signal.aborted });
  metrics.measure('lethe_ingest_backlog', 'Items taken in and not answered', () => ingest.backlog);
  metrics.measure('lethe_kms_calls', 'Calls of the root KMS', () => backends.kmsCallCount());
  metrics.measure('lethe_views_behind_events', 'Events not in the views', () => behind(store));

  // First of all the address: nothing runs for a server that cannot be reached.
  await listen(server, configuration);
  const projector = startProjectorThread(configuration, backends.wake);
  const onFailure = (error: unknown) => {
    const code = isLetheError(error) ? error.code : 'UNEXPECTED';
    server.log.error({ part: 'privacy worker', code });
  };
  const worker = runRequestWorker(privacyPowers, stop.signal, onFailure);
  const sweep = setInterval(() => void ingest.sweep().catch(onFailure), SWEEP_INTERVAL_MS);
  sweep.unref();
  const { address, port } = server.server.address() as AddressInfo;
  const failed = new Promise<Error>((resolve) => {
    projector.ended.then(
      () => stop.signal.aborted || resolve(new Error('the projector ended')),
      (error: Error) => resolve(error),
    );
  });
  return {
    address: `http://${address.includes(':') ? `[${address}]` : address}:${port}`,
    failed,
    async stop() {
      stop.abort();
      clearInterval(sweep);
      await server.close();
      await ingest.close();
      await worker;
      await waitForViews(readerPowers, await lastPositions(readerPowers.log), 5_000);
      await projector.stop();
    },
  };
}

async function listen(server: HttpServer, { http }: Configuration): Promise<void> {
  try {
    await server.listen({ host: http.host, port: http.port });
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code ?? 'unknown';
    const why = code === 'EADDRINUSE' ? 'this port is in use' : `cannot listen (${code})`;
    const text = `LETHE_HTTP: ${why}; port 0 takes a free one`;
    throw new LetheError('CONFIGURATION_INVALID', text, { cause: error });
  }
}

async function behind({ backends }: OpenStore): Promise<number> {
  const { log, views } = backends.reader();
  const next = await log.checkpoints(projectorGroup(await views.generation()));
  const ends = await log.endOffsets();
  return ends.reduce((sum, end, i) => sum + Math.max(0, end - next[i]!), 0);
}

function addHealthRoutes(
  server: HttpServer,
  { backends }: OpenStore,
  use: { metrics: ReturnType<typeof createMetrics>; isStopping(): boolean },
): void {
  const schema = { hide: true };
  server.get('/healthz', { schema }, () => ({ status: 'ok' }));
  server.get('/readyz', { schema }, async () => {
    if (use.isStopping()) throw new HttpError(503, 'stopping', 'Shutting down');
    const { log, views, apps } = backends.reader();
    await Promise.all([log.endOffsets(), views.generation(), apps.list()]);
    return { status: 'ready' };
  });
  server.get('/metrics', { schema }, async (_request, reply) => {
    reply.type(use.metrics.contentType);
    return use.metrics.text();
  });
}
