/** Metrics of the server; labels hold routes, states and numbers of partitions, never data. */
import { Counter, collectDefaultMetrics, Gauge, Histogram, Registry } from '@prometheus-io/client';

/** Values of one metric, by the value of its label. */
export type Labelled = Readonly<Record<string, number>>;

type Reader = () => number | Promise<number>;

export interface Metrics {
  readonly contentType: string;
  text(): Promise<string>;
  onAnswer(answer: { route: string; method: string; status: number; seconds: number }): void;
  /** A value that rises and falls, measured when the metrics are asked for. */
  measure(name: string, help: string, read: Reader): void;
  /** The same, one for each value of a label. */
  measureEach(
    name: string,
    of: { help: string; label: string },
    read: () => Promise<Labelled>,
  ): void;
  /** A number that only rises while the process runs. */
  count(name: string, help: string, read: () => number): void;
  countEach(name: string, of: { help: string; label: string }, read: () => Labelled): void;
  /** Durations in seconds; the function takes one. */
  durations(name: string, help: string, buckets: readonly number[]): (seconds: number) => void;
}

const ANSWER_BUCKETS = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5];

/** Opens a registry, with what is known of any process: memory, CPU, event loop. */
export function createMetrics(): Metrics {
  const registry = new Registry();
  const registers = [registry];
  collectDefaultMetrics({ register: registry });
  const answers = new Counter({
    name: 'lethe_http_answers_total',
    help: 'Answers of the HTTP server',
    labelNames: ['route', 'method', 'status'],
    registers,
  });
  const seconds = new Histogram({
    name: 'lethe_http_answer_seconds',
    help: 'Time to answer',
    labelNames: ['route', 'method'],
    buckets: ANSWER_BUCKETS,
    registers,
  });
  return {
    contentType: registry.contentType,
    text: () => registry.metrics(),
    onAnswer({ route, method, status, seconds: time }) {
      answers.inc({ route, method, status: String(status) });
      seconds.observe({ route, method }, time);
    },
    measure(name, help, read) {
      const gauge: Gauge = new Gauge({
        name,
        help,
        registers,
        async collect() {
          // What cannot be measured now must not keep the rest from being told.
          gauge.set(await Promise.resolve(read()).catch(() => Number.NaN));
        },
      });
    },
    measureEach(name, { help, label }, read) {
      const gauge: Gauge<string> = new Gauge({
        name,
        help,
        labelNames: [label],
        registers,
        async collect() {
          gauge.reset();
          const values: Labelled = await read().catch(() => ({}));
          for (const [one, value] of Object.entries(values)) gauge.set({ [label]: one }, value);
        },
      });
    },
    count(name, help, read) {
      const counter: Counter = new Counter({
        name,
        help,
        registers,
        collect() {
          counter.reset();
          counter.inc(read());
        },
      });
    },
    countEach(name, { help, label }, read) {
      const counter: Counter<string> = new Counter({
        name,
        help,
        labelNames: [label],
        registers,
        collect() {
          counter.reset();
          for (const [one, value] of Object.entries(read())) counter.inc({ [label]: one }, value);
        },
      });
    },
    durations(name, help, buckets) {
      const histogram = new Histogram({ name, help, buckets: [...buckets], registers });
      return (time) => histogram.observe(time);
    },
  };
}
