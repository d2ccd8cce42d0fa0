/** `lethe serve`: all services in one process on one port, or some of them. */
import { lookup } from 'node:dns/promises';
import { readFileSync } from 'node:fs';
import type { AddressInfo } from 'node:net';
import { createSecureContext } from 'node:tls';
import { LetheError } from '../../libs/base/lethe-error.ts';
import { VERSION } from '../../libs/base/version.ts';
import { type Configuration, embeddedFiles } from '../../libs/configuration/configuration.ts';
import { createWakeSignal } from '../../libs/event-log/wake-signal.ts';
import { openHandedAnswers } from '../../libs/http/handed-answers.ts';
import { HttpError } from '../../libs/http/http-error.ts';
import { createHttpServer, type HttpServer } from '../../libs/http/http-server.ts';
import type { Backends, OpenStore } from '../../libs/wiring/open-backends.ts';
import { openProjectorBackends } from '../../libs/wiring/open-projector.ts';
import { createApp } from '../operations/create-app.ts';
import { createMetrics, type Metrics } from './metrics.ts';
import {
  openPart,
  openProjectorPart,
  type Part,
  type PartFailure,
  type ServiceName,
  serviceNames,
} from './serve-parts.ts';
import { addHolderMetrics, addLagMetrics } from './service-metrics.ts';
import { assertWritable, watchFiles } from './store-watch.ts';

/** A server that listens. */
export interface RunningServer {
  readonly address: string;
  /** Stops taking requests, answers those under way, closes everything. */
  stop(): Promise<void>;
  /** Settles when a part that must run has failed. */
  readonly failed: Promise<PartFailure>;
}

const SERVING_INTERVAL_MS = 20_000;
// It serves on, from memory, until its lease is lost or it is started anew.
const ROOT_KEY_MISSING = 'The key file at the root of the vault is not there: put it back';

/** Makes the first app and its key when there is none; what to print once. */
export async function firstStart({ backends }: OpenStore) {
  const powers = backends.administration();
  if ((await powers.apps.list()).length > 0) return undefined;
  const app = await createApp(powers, { name: 'main' });
  const nowMs = powers.clock.nowMs();
  const key = await powers.accessKeys.create({ app: app.id, scope: 'app', nowMs });
  return { app, key };
}

/** Starts services and listens. */
export async function startServer(
  store: OpenStore,
  names: readonly ServiceName[] = serviceNames,
): Promise<RunningServer> {
  const { backends, configuration } = store;
  assertWritable(embeddedFiles(configuration));
  const access = { ...backends.administration(), attacks: backends.attacks };
  const frame = await openFrame(configuration, access);
  addHolderMetrics(frame.metrics, backends, configuration.leaseMs);
  addLagMetrics(frame.metrics, backends.reader());
  const { keyring } = backends.reader();
  const answers = openHandedAnswers(frame.server, { keyring, takenMsMax: configuration.answerMs });
  const parts: Part[] = [watchFiles(embeddedFiles(configuration))];
  for (const name of names) {
    parts.push(await openPart(name, { ...frame, store, answers, signal: frame.stop.signal }));
  }
  const { log, views, apps } = backends.reader();
  const isReady = async () => {
    await Promise.all([log.endOffsets(), views.generation(), apps.list()]);
    // A look into a folder costs nothing; AWS KMS is asked by privacy and `lethe doctor`.
    if (configuration.kms.engine !== 'local') return;
    const state = await backends.epoch().rootKeyState();
    if (state !== 'usable') throw new HttpError(503, 'root_key_missing', ROOT_KEY_MISSING);
  };
  const server = await run(configuration, { ...frame, parts, isReady });
  const serving = noteServing(backends);
  const door = configuration.http.url ?? (isWildcard(server.address) ? undefined : server.address);
  if (door !== undefined) await backends.announce(door);
  else frame.server.log.warn({ part: 'attack', why: 'LETHE_HTTP_URL is not set' });
  return { ...server, stop: () => server.stop().finally(() => serving.end()) };
}

/** Says again and again that the key at the root is in use, so that nobody ends it by mistake. */
function noteServing(backends: Backends) {
  const note = (isServing: boolean) =>
    backends
      .epoch()
      .noteServing(isServing)
      // A key folder may be mounted to be read only.
      .catch(() => undefined);
  void note(true);
  const timer = setInterval(() => void note(true), SERVING_INTERVAL_MS);
  return {
    async end() {
      clearInterval(timer);
      await note(false);
    },
  };
}

/** An address that means "here" to everybody: whoever asked it would ask itself. */
function isWildcard(address: string): boolean {
  return /^https?:\/\/(0\.0\.0\.0|\[::\]):/.test(address);
}

/** Starts the projector alone: it opens no vault and no key folder. */
export async function startProjector(configuration: Configuration): Promise<RunningServer> {
  const { log, views } = configuration;
  const opened = [log, views].flatMap((one) => (one.engine === 'sqlite' ? one.file : []));
  assertWritable(opened);
  const frame = await openFrame(configuration);
  const wake = createWakeSignal();
  const powers = await openProjectorBackends(configuration, wake);
  const { server: http, metrics, stop } = frame;
  const own = { server: http, metrics, configuration, powers, wake, signal: stop.signal };
  addLagMetrics(metrics, powers);
  const part = openProjectorPart(own);
  const isReady = () => Promise.all([powers.log.endOffsets(), powers.views.generation()]);
  const parts = [part, watchFiles([...new Set(opened)])];
  const server = await run(configuration, { ...frame, parts, isReady });
  return { ...server, stop: () => server.stop().finally(() => powers.close()) };
}

async function openFrame(
  configuration: Configuration,
  access?: ReturnType<Backends['administration']> & Pick<Backends, 'attacks'>,
) {
  const metrics = createMetrics();
  const { bodyBytesMax, logLevel, http } = configuration;
  const tls = http.tls && readCertificate(http.tls);
  const { onAnswer } = metrics;
  const options = { bodyBytesMax, logLevel, onAnswer, version: VERSION };
  const server = await createHttpServer({
    ...options,
    ...(access && { access }),
    ...(tls && { tls }),
  });
  return { metrics, server, stop: new AbortController() };
}

/** Throws CONFIGURATION_INVALID: what is wrong with the files, before anything listens. */
function readCertificate({ cert, key }: { cert: string; key: string }) {
  try {
    const files = { cert: readFileSync(cert), key: readFileSync(key) };
    createSecureContext(files);
    return files;
  } catch (error) {
    const { code = 'unknown', path = 'certificate and key' } = error as NodeJS.ErrnoException;
    const text = `LETHE_HTTP_TLS: ${path} cannot be used (${code})`;
    throw new LetheError('CONFIGURATION_INVALID', text, { cause: error });
  }
}

async function run(
  configuration: Configuration,
  frame: Awaited<ReturnType<typeof openFrame>> & { parts: Part[]; isReady(): Promise<unknown> },
): Promise<RunningServer> {
  const { server, metrics, stop, parts, isReady } = frame;
  addHealthRoutes(server, { metrics, isReady, isStopping: () => stop.signal.aborted });
  // First of all the address: nothing runs for a server that cannot be reached.
  await listen(server, configuration);
  for (const part of parts) part.start();
  const scheme = configuration.http.tls === undefined ? 'http' : 'https';
  const { address, port } = server.server.address() as AddressInfo;
  return {
    address: `${scheme}://${address.includes(':') ? `[${address}]` : address}:${port}`,
    failed: Promise.race(parts.flatMap((part) => part.failed ?? [])),
    async stop() {
      stop.abort();
      await server.close();
      for (const part of parts) await part.stop();
    },
  };
}

async function listen(server: HttpServer, { http }: Configuration): Promise<void> {
  try {
    // By one address: for localhost Fastify opens a second server, which nobody watches over.
    const { address: host } = await lookup(http.host);
    await server.listen({ host, port: http.port });
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code ?? 'unknown';
    const why = code === 'EADDRINUSE' ? 'is in use' : `cannot be listened on (${code})`;
    const text = `LETHE_HTTP: ${http.host}:${http.port} ${why}; port 0 takes a free one`;
    throw new LetheError('CONFIGURATION_INVALID', text, { cause: error });
  }
}

function addHealthRoutes(
  server: HttpServer,
  frame: { metrics: Metrics; isReady(): Promise<unknown>; isStopping(): boolean },
): void {
  const schema = { hide: true };
  server.get('/healthz', { schema }, () => ({ status: 'ok' }));
  server.get('/readyz', { schema }, async () => {
    if (frame.isStopping()) throw new HttpError(503, 'stopping', 'Shutting down');
    await frame.isReady();
    return { status: 'ready' };
  });
  server.get('/metrics', { schema }, async (_request, reply) => {
    reply.type(frame.metrics.contentType);
    return frame.metrics.text();
  });
}
