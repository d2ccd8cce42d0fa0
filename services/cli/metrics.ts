/** Metrics of the server; labels hold route patterns and states, never data. */
import { Counter, Gauge, Histogram, Registry } from '@prometheus-io/client';

export interface Metrics {
  readonly contentType: string;
  text(): Promise<string>;
  onAnswer(answer: { route: string; method: string; status: number; seconds: number }): void;
  /** Measured when the metrics are asked for. */
  measure(name: string, help: string, read: () => number | Promise<number>): void;
}

/** Opens a registry. */
export function createMetrics(): Metrics {
  const registry = new Registry();
  const answers = new Counter({
    name: 'lethe_http_answers_total',
    help: 'Answers of the HTTP server',
    labelNames: ['route', 'method', 'status'],
    registers: [registry],
  });
  const seconds = new Histogram({
    name: 'lethe_http_answer_seconds',
    help: 'Time to answer',
    labelNames: ['route', 'method'],
    buckets: [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5],
    registers: [registry],
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
        registers: [registry],
        async collect() {
          gauge.set(await read());
        },
      });
    },
  };
}
