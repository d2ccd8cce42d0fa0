/** The services that a process runs: each adds its routes and its work, and ends by itself. */
import { setTimeout as sleep } from 'node:timers/promises';
import { assertFolderUsable } from '../../libs/base/durable-file.ts';
import { isLetheError } from '../../libs/base/lethe-error.ts';
import type { Configuration } from '../../libs/configuration/configuration.ts';
import type { WakeSignal } from '../../libs/event-log/wake-signal.ts';
import type { HandedAnswers } from '../../libs/http/handed-answers.ts';
import type { HttpServer } from '../../libs/http/http-server.ts';
import { lastPositions, waitForViews } from '../../libs/projection/views-behind.ts';
import type { OpenStore } from '../../libs/wiring/open-backends.ts';
import type { ProjectorPowers } from '../../libs/wiring/powers.ts';
import { addActivityRoutes } from '../ingest/doors/activity-routes.ts';
import { addConversationRoutes } from '../ingest/doors/conversation-routes.ts';
import { addEventRoutes } from '../ingest/doors/event-routes.ts';
import { addUserRoutes } from '../ingest/doors/user-routes.ts';
import { openIngest } from '../ingest/ingest.ts';
import { type EpochGauges, runUpkeep } from '../operations/upkeep.ts';
import { createPrivacy } from '../privacy/doors/privacy.ts';
import { addPrivacyRoutes } from '../privacy/doors/privacy-routes.ts';
import { runRequestWorker } from '../privacy/life/request-worker.ts';
import { startProjectorThread } from '../projector/projector-thread.ts';
import { addReaderRoutes } from '../reader/reader-routes.ts';
import { addStreamRoute } from '../reader/stream-route.ts';
import { addAppRoutes } from './app-routes.ts';
import type { Metrics } from './metrics.ts';
import { addIngestMetrics, addPrivacyMetrics } from './service-metrics.ts';

/** The services of a process, in the order in which they are opened. */
export const serviceNames = ['ingest', 'projector', 'reader', 'privacy'] as const;
/** One of them. */
export type ServiceName = (typeof serviceNames)[number];

/** What parts share. */
export interface PartContext {
  readonly server: HttpServer;
  readonly store: OpenStore;
  readonly metrics: Metrics;
  /** What was opened and handed to clients. */
  readonly answers: HandedAnswers;
  /** Aborted when the process stops. */
  readonly signal: AbortSignal;
}

/** A part that does not run any more, in words, and why. */
export interface PartFailure {
  readonly part: string;
  readonly error: Error;
}

/** A part whose routes are there. */
export interface Part {
  /** Begins its work; called once the server listens. */
  start(): void;
  /** Ends what is under way. */
  stop(): Promise<void>;
  /** Settles when it must run and does not any more. */
  readonly failed?: Promise<PartFailure>;
}

const SWEEP_INTERVAL_MS = 3_600_000;
const DRAIN_TIMEOUT_MS = 5_000;

/** Opens one service. */
export function openPart(name: ServiceName, context: PartContext): Promise<Part> {
  return { ingest, reader, privacy, projector: async () => projector(context) }[name](context);
}

function reportFailure({ server }: Pick<PartContext, 'server'>, part: string) {
  return (error: unknown) => {
    const { code } = error as { code?: string };
    const isKnown = isLetheError(error) || (typeof code === 'string' && /^[A-Z_]+$/.test(code));
    // Texts of ours say nothing of people: random ids, and what to do.
    const why = isLetheError(error) && { why: error.message };
    server.log.error({ part, code: isKnown ? code : 'UNEXPECTED', ...why });
  };
}

async function ingest(context: PartContext): Promise<Part> {
  const { server, store, metrics, answers } = context;
  const powers = store.backends.ingest();
  const service = await openIngest(powers);
  addEventRoutes(server, service, powers);
  addUserRoutes(server, service, powers, answers);
  addConversationRoutes(server, service, powers, answers);
  addActivityRoutes(server, service, powers);
  addIngestMetrics(metrics, service);
  let sweep: NodeJS.Timeout | undefined;
  return {
    start() {
      const onFailure = reportFailure(context, 'ledger sweep');
      sweep = setInterval(() => void service.sweep().catch(onFailure), SWEEP_INTERVAL_MS).unref();
    },
    async stop() {
      clearInterval(sweep);
      await service.close();
    },
  };
}

async function reader({ server, store, answers, signal }: PartContext): Promise<Part> {
  const { backends } = store;
  const powers = backends.reader();
  const { accessKeys } = backends.administration();
  addReaderRoutes(server, powers, answers);
  addStreamRoute(server, powers, { wake: backends.wake, accessKeys, answers, signal });
  return { start: () => undefined, stop: async () => undefined };
}

async function privacy(context: PartContext): Promise<Part> {
  const { server, store, metrics, answers, signal } = context;
  const powers = store.backends.privacy();
  // What an erasure and a turn will need: an unwritable folder is told now, not by the first.
  const { certificatesFolder, erasuresFolder, backupsFolder, signingFolder } = store.configuration;
  assertFolderUsable('LETHE_CERTIFICATES', certificatesFolder);
  assertFolderUsable('LETHE_ERASURES', erasuresFolder);
  assertFolderUsable('LETHE_BACKUPS', backupsFolder);
  assertFolderUsable('LETHE_SIGNING_KEYS', signingFolder);
  let epoch: EpochGauges | undefined;
  addPrivacyMetrics(metrics, store.backends, () => epoch);
  addPrivacyRoutes(server, createPrivacy(powers), powers);
  const reader = store.backends.reader();
  addAppRoutes(server, store.backends.administration(), { answers, reader });
  let worker: Promise<unknown> | undefined;
  return {
    start() {
      worker = Promise.all([
        runRequestWorker(powers, signal, reportFailure(context, 'privacy worker')),
        runUpkeep(store, signal, {
          onFailure: (part, error) => reportFailure(context, part)(error),
          onEpoch: (seen) => {
            epoch = seen;
          },
        }),
      ]);
    },
    async stop() {
      await worker;
    },
  };
}

function projector({ store, ...context }: PartContext): Part {
  const { backends, configuration } = store;
  const { wake } = backends;
  return openProjectorPart({ ...context, configuration, powers: backends.projector(), wake });
}

/** The projector, which needs nothing of the vault. */
export function openProjectorPart(context: {
  server: HttpServer;
  configuration: Configuration;
  powers: ProjectorPowers;
  wake: WakeSignal;
  signal: AbortSignal;
}): Part {
  const { configuration, powers, wake, signal } = context;
  let thread: ReturnType<typeof startProjectorThread> | undefined;
  let fail: (error: Error) => void = () => undefined;
  const failed = new Promise<PartFailure>((resolve) => {
    fail = (error) => resolve({ part: 'the projector', error });
  });
  return {
    failed,
    start() {
      const report = reportFailure(context, 'projector');
      thread = startProjectorThread(configuration, wake, (code) => report({ code }));
      thread.ended.then(
        () => signal.aborted || fail(new Error('the projector ended')),
        (error: Error) => fail(error),
      );
    },
    async stop() {
      // An engine that is away must not keep the process from ending.
      const drain = async () => {
        await waitForViews(powers, await lastPositions(powers.log), DRAIN_TIMEOUT_MS);
      };
      await Promise.race([
        drain().catch(() => undefined),
        sleep(DRAIN_TIMEOUT_MS, undefined, { ref: false }),
      ]);
      await thread?.stop();
    },
  };
}
