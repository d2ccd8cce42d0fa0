/** Events from files or stdin into the store, and into the views; resumable by sending again. */
import { accessSync, appendFileSync, constants, existsSync, writeFileSync } from 'node:fs';
import { dirname } from 'node:path';
import type { Clock } from '../../libs/base/clock.ts';
import type { AppId } from '../../libs/base/ids.ts';
import { LetheError } from '../../libs/base/lethe-error.ts';
import { throughStalls } from '../../libs/base/retry.ts';
import { readCloudEvent } from '../../libs/conversation/cloud-event.ts';
import type { Delivery } from '../../libs/conversation/delivery.ts';
import { lastPositions, waitForViews } from '../../libs/projection/views-behind.ts';
import type { OpenStore } from '../../libs/wiring/open-backends.ts';
import { type Ingest, openIngest } from '../ingest/ingest.ts';
import type { Outcome } from '../ingest/plan/ingest-item.ts';
import { runOpenRequests } from '../privacy/life/request-worker.ts';
import { startProjectorThread } from '../projector/projector-thread.ts';
import { type EventLine, readEventLines } from './event-lines.ts';

export interface IngestOptions {
  readonly app: AppId;
  readonly wait: boolean;
  /** Where rejected lines are listed by number and reason. */
  readonly report: string;
  readonly onProblem?: (problem: Problem) => void;
  readonly onProgress?: (text: string) => void;
  /** An engine stalls; it is asked again for two minutes. */
  readonly onTrouble?: (error: LetheError) => void;
}

/** Why an event was not taken; nothing of its content. */
export interface Problem {
  readonly file: string;
  readonly line: number;
  /** Which one of a line that holds an array, counted from 0; absent: the line is one event. */
  readonly index?: number;
  readonly field: string;
  readonly expected: string;
  /** As `POST /events` answers; absent: it could not be read as an event. */
  readonly code?: string;
  /** The same line may be taken in later. */
  readonly retryable?: boolean;
}

/** Counts over all files. */
export interface IngestSummary {
  accepted: number;
  /** What was in already; also what went in just before an engine stalled, without an answer. */
  duplicate: number;
  erased: number;
  rejected: number;
  /** Seconds until all was durable, and until the views had it. */
  durableSeconds: number;
  seconds: number;
  report?: string;
}

const BATCH_EVENTS = 500;
/** So many events are asked for once more at the end, where that may help; they stay in memory. */
const AGAIN_EVENTS_MAX = 5_000;
const VIEWS_TIMEOUT_MS = 600_000;

/** Takes files in; what is wrong with single lines is reported, and the rest goes in. */
export async function ingestFiles(
  store: OpenStore,
  files: readonly string[],
  options: IngestOptions,
): Promise<IngestSummary> {
  assertReportWritable(options.report);
  const started = performance.now();
  const { backends, configuration } = store;
  const powers = backends.ingest();
  const ingest = await openIngest(powers);
  const projector = options.wait ? startProjectorThread(configuration, backends.wake) : undefined;
  const run = new FileRun(ingest, powers.clock, options);
  try {
    for (const file of files) for await (const line of readEventLines(file)) await run.take(line);
    await run.end();
    await ingest.close();
    const durableSeconds = secondsSince(started);
    // Removals that the files asked for are carried out by whoever is free; here, if need be.
    await throughStalls(() => runOpenRequests(backends.privacy()), options.onTrouble);
    if (projector !== undefined) {
      const positions = await throughStalls(() => lastPositions(powers.log), options.onTrouble);
      const views = backends.projector();
      const failed = projector.ended.then(() => false);
      const wait = () => waitForViews(views, positions, VIEWS_TIMEOUT_MS);
      const seen = throughStalls(wait, options.onTrouble);
      await Promise.race([seen, failed]);
    }
    return run.finish({ durableSeconds, seconds: secondsSince(started) });
  } finally {
    await projector?.stop();
  }
}

function secondsSince(startedMs: number): number {
  return Math.round(performance.now() - startedMs) / 1_000;
}

interface Read {
  readonly delivery: Delivery;
  readonly at: { readonly file: string; readonly line: number; readonly index?: number };
}

class FileRun {
  readonly #ingest: Ingest;
  readonly #options: IngestOptions;
  readonly #clock: Clock;
  readonly #counts = { accepted: 0, duplicate: 0, erased: 0, rejected: 0 };
  #batch: Read[] = [];
  /** What may be taken in once the rest is: an edit that stands before its message, say. */
  readonly #again: Read[] = [];
  #isEnd = false;
  #problems = 0;

  constructor(ingest: Ingest, clock: Clock, options: IngestOptions) {
    this.#ingest = ingest;
    this.#clock = clock;
    this.#options = options;
  }

  async take(line: EventLine): Promise<void> {
    if (!('event' in line)) {
      this.#problem(line);
      return;
    }
    const { event, ...at } = line;
    const read = readCloudEvent(event, this.#clock.nowMs());
    if ('problem' in read) {
      const { pointer, expected } = read.problem;
      this.#problem({ ...at, field: pointer, expected });
      return;
    }
    this.#batch.push({ delivery: read.value, at });
    if (this.#batch.length >= BATCH_EVENTS) await this.#flush();
  }

  /** Takes in what is left, and asks for the second time where that may help. */
  async end(): Promise<void> {
    await this.#flush();
    this.#isEnd = true;
    while (this.#again.length > 0) {
      this.#batch = this.#again.splice(0, BATCH_EVENTS);
      await this.#flush();
    }
  }

  async #flush(): Promise<void> {
    const batch = this.#batch;
    this.#batch = [];
    if (batch.length === 0) return;
    const items = batch.map(({ delivery }) => ({ kind: 'delivery' as const, delivery }));
    const { app, onTrouble } = this.#options;
    const outcomes = await throughStalls(() => this.#ingest.accept(app, items), onTrouble);
    for (const [i, outcome] of outcomes.entries()) this.#count(outcome, batch[i]!);
    const { accepted, duplicate, erased, rejected } = this.#counts;
    const done = accepted + duplicate + erased + rejected;
    this.#options.onProgress?.(`${done} events, ${accepted} accepted`);
  }

  #count(outcome: Outcome, read: Read): void {
    if (outcome.status !== 'rejected') {
      this.#counts[outcome.status] += 1;
      return;
    }
    const { code, title, retryable } = outcome.error;
    if (retryable && !this.#isEnd && this.#again.length < AGAIN_EVENTS_MAX) this.#again.push(read);
    else this.#problem({ ...read.at, field: '', expected: title, code, retryable });
  }

  #problem(problem: Problem): void {
    const { report, onProblem } = this.#options;
    this.#counts.rejected += 1;
    if (this.#problems === 0) writeFileSync(report, '', { mode: 0o600 });
    this.#problems += 1;
    appendFileSync(report, `${JSON.stringify(problem)}\n`);
    onProblem?.(problem);
  }

  finish(times: { durableSeconds: number; seconds: number }): IngestSummary {
    const summary: IngestSummary = { ...this.#counts, ...times };
    if (this.#problems > 0) summary.report = this.#options.report;
    return summary;
  }
}

/** Before the first line is taken: the first wrong one must not end the run half way. */
function assertReportWritable(report: string): void {
  try {
    accessSync(dirname(report), constants.W_OK);
    if (existsSync(report)) accessSync(report, constants.W_OK);
  } catch (cause) {
    const text = `--report: cannot write ${report}: name a file where rejected lines can be listed`;
    throw new LetheError('INPUT_INVALID', text, { cause });
  }
}
