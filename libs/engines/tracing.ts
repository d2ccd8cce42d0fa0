/**
 * Traces, in OpenTelemetry's terms. Spans are made by hand: what instruments by itself would record
 * addresses of requests, and those name people. A span tells what was done, how many of it, and how
 * it ended.
 *
 * https://www.w3.org/TR/trace-context/ (traceparent), https://opentelemetry.io/docs/specs/otel/
 */
import {
  type Attributes,
  context,
  type Link,
  type SpanContext,
  SpanKind,
  SpanStatusCode,
  trace,
} from '@opentelemetry/api';
import { isLetheError } from '../base/lethe-error.ts';

/** What a span begins with. */
export interface SpanStart {
  readonly kind?: 'server' | 'producer' | 'consumer';
  /** Numbers and words of ours; never data. */
  readonly attributes?: Attributes;
  /** Other traces that it belongs to, each as a `traceparent`. */
  readonly links?: readonly string[];
}

const KINDS = {
  server: SpanKind.SERVER,
  producer: SpanKind.PRODUCER,
  consumer: SpanKind.CONSUMER,
} as const;
const LINKS_MAX = 64;
const TRACEPARENT = /^00-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})$/;

let isStarted = false;

/** Does this process export traces? Then it is worth gathering what they need. */
export function isTracing(): boolean {
  return isStarted;
}

/** The `traceparent` of the span that is under way here. */
export function currentTrace(): string | undefined {
  if (!isStarted) return undefined;
  const found = trace.getSpanContext(context.active());
  if (found === undefined) return undefined;
  const flags = found.traceFlags.toString(16).padStart(2, '0');
  return `00-${found.traceId}-${found.spanId}-${flags}`;
}

/** Runs work in a span of its own; what it throws passes, and its code is in the span. */
export async function inSpan<Result>(
  name: string,
  { kind, attributes = {}, links = [] }: SpanStart,
  work: () => Promise<Result>,
): Promise<Result> {
  if (!isStarted) return work();
  const tracer = trace.getTracer('lethe');
  const options = {
    attributes,
    ...(kind && { kind: KINDS[kind] }),
    links: [...new Set(links)].slice(0, LINKS_MAX).flatMap(toLink),
  };
  return tracer.startActiveSpan(name, options, context.active(), async (span) => {
    try {
      return await work();
    } catch (error) {
      const code = isLetheError(error) ? error.code : 'UNEXPECTED';
      span.setStatus({ code: SpanStatusCode.ERROR, message: code });
      throw error;
    } finally {
      span.end();
    }
  });
}

/** The first span of a trace, which somebody else ends, and what runs under it. */
export function openSpan(name: string, { kind, attributes = {}, links = [] }: SpanStart) {
  const from = context.active();
  const more = { links: links.flatMap(toLink), root: true };
  const options = { attributes, ...(kind && { kind: KINDS[kind] }), ...more };
  const span = trace.getTracer('lethe').startSpan(name, options, from);
  return {
    run: <Result>(work: () => Result): Result => {
      return context.with(trace.setSpan(from, span), work);
    },
    end(ended: Attributes, isFailure: boolean) {
      span.setAttributes(ended);
      if (isFailure) span.setStatus({ code: SpanStatusCode.ERROR });
      span.end();
    },
  };
}

/**
 * Begins to export, if the environment says where to: `OTEL_EXPORTER_OTLP_ENDPOINT` (or
 * `…_TRACES_ENDPOINT`), with what else OpenTelemetry's own variables say of exporter and batches.
 * Returns what ends it, with everything sent.
 */
export async function startTracing(
  env: Readonly<Record<string, string | undefined>>,
): Promise<() => Promise<void>> {
  const endpoint = env.OTEL_EXPORTER_OTLP_TRACES_ENDPOINT ?? env.OTEL_EXPORTER_OTLP_ENDPOINT;
  if (!endpoint || env.OTEL_SDK_DISABLED === 'true' || isStarted) return async () => undefined;
  const [sdk, exporters, hooks, resources] = await Promise.all([
    import('@opentelemetry/sdk-trace'),
    import('@opentelemetry/exporter-trace-otlp-http'),
    import('@opentelemetry/context-async-hooks'),
    import('@opentelemetry/resources'),
  ]);
  const provider = new sdk.TracerProvider({
    resource: resources.resourceFromAttributes({
      'service.name': env.OTEL_SERVICE_NAME || 'lethe',
      'service.namespace': 'lethe',
    }),
    spanProcessors: [new sdk.BatchSpanProcessor({ exporter: new exporters.OTLPTraceExporter() })],
  });
  context.setGlobalContextManager(new hooks.AsyncLocalStorageContextManager());
  trace.setGlobalTracerProvider(provider);
  isStarted = true;
  return async () => {
    isStarted = false;
    await provider.shutdown().catch(() => undefined);
  };
}

function readTraceparent(text: string): SpanContext | undefined {
  const [, traceId, spanId, flags] = TRACEPARENT.exec(text) ?? [];
  if (traceId === undefined || spanId === undefined || flags === undefined) return undefined;
  return { traceId, spanId, traceFlags: Number.parseInt(flags, 16), isRemote: true };
}

function toLink(traceparent: string): Link[] {
  const found = readTraceparent(traceparent);
  return found === undefined ? [] : [{ context: found }];
}
