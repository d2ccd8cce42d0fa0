/** kafkajs 2.2.4, pinned exactly: how it is opened, and what of it is mended. */
import { createRequire } from 'node:module';
import { connect, isIP, type Socket } from 'node:net';
import { connect as connectTls } from 'node:tls';
import { gunzipSync, gzipSync, zstdCompressSync, zstdDecompressSync } from 'node:zlib';
import kafkajs, { type ISocketFactoryArgs, type Kafka } from 'kafkajs';
import { LetheError } from '../../base/lethe-error.ts';
import type { KafkaEngine } from '../../engines/engine-urls.ts';
import { readTlsFiles } from '../../engines/tls-files.ts';
import { mendDecoding } from './decode-batches.ts';

const CONNECTION_TIMEOUT_MS = 3_000;
const REQUEST_TIMEOUT_MS = 10_000;

const KEEP_ALIVE_MS = 60_000;
const socketsOf = new WeakMap<Kafka, Set<Socket>>();

/**
 * Ends what kafkajs may have left open. Of two fetches at once from a broker that none went to yet,
 * each connects, and only the last connection is closed with the client: the process cannot end.
 */
export function destroySockets(kafka: Kafka): void {
  for (const socket of socketsOf.get(kafka) ?? []) socket.destroy();
}

/** Opens the client; nothing is connected yet. Names in it hold no personal data. */
export function createKafka(engine: KafkaEngine): Kafka {
  stopIdleSpin();
  boundCodecs();
  mendDecoding();
  const { brokers, prefix, sasl, tls } = engine;
  const sockets = new Set<Socket>();
  const kafka = new kafkajs.Kafka({
    socketFactory(to) {
      const socket = openSocket(to);
      sockets.add(socket.once('close', () => sockets.delete(socket)));
      return socket;
    },
    brokers: [...brokers],
    clientId: prefix,
    logLevel: kafkajs.logLevel.NOTHING,
    connectionTimeout: CONNECTION_TIMEOUT_MS,
    requestTimeout: REQUEST_TIMEOUT_MS,
    enforceRequestTimeout: true,
    retry: { initialRetryTime: 50, maxRetryTime: 2_000, retries: 8 },
    ...(tls !== undefined && { ssl: readTlsFiles(tls) }),
    ...(sasl !== undefined && { sasl: { ...sasl } as never }),
  });
  socketsOf.set(kafka, sockets);
  return kafka;
}

/** As kafkajs opens its sockets by itself. */
function openSocket({ host, port, ssl, onConnect }: ISocketFactoryArgs): Socket {
  const servername = isIP(host) === 0 ? { servername: host } : {};
  // Without TLS there is nothing here, whatever its type says.
  const socket = (ssl as object | undefined)
    ? connectTls({ host, port, ...servername, ...ssl }, onConnect)
    : connect({ host, port }, onConnect);
  return socket.setKeepAlive(true, KEEP_ALIVE_MS);
}

/** What every failure of the log becomes; messages of the client can name hosts, never content. */
export function logUnreachable(error: unknown): LetheError {
  if (error instanceof LetheError) return error;
  const { name = 'unknown', type } = error as { name?: string; type?: string };
  const text = `Kafka: ${type ?? name}`;
  return new LetheError('LOG_UNREACHABLE', text, { retryable: true, cause: error });
}

// What is sealed does not get smaller: a batch is hardly longer than it comes. A few bytes of
// another sender's can be gigabytes.
const DECOMPRESSED = { maxOutputLength: 16 * 1024 * 1024 };

function boundCodecs(): void {
  kafkajs.CompressionCodecs[kafkajs.CompressionTypes.ZSTD] = () => ({
    compress: async (encoder: { buffer: Buffer }) => zstdCompressSync(encoder.buffer),
    decompress: async (buffer: Buffer) => zstdDecompressSync(buffer, DECOMPRESSED),
  });
  kafkajs.CompressionCodecs[kafkajs.CompressionTypes.GZIP] = () => ({
    compress: async (encoder: { buffer: Buffer }) => gzipSync(encoder.buffer),
    decompress: async (buffer: Buffer) => gunzipSync(buffer, DECOMPRESSED),
  });
}

interface RequestQueue {
  pending: readonly unknown[];
  throttledUntil: number;
  throttleCheckTimeoutId: NodeJS.Timeout | null;
  checkPendingRequests(): void;
  scheduleCheckPendingRequests(): void;
}

const PENDING_LOOK_MS = 10;

/**
 * In 2.2.4 each connection re-arms a timer in the past for ever when nothing is pending: 3,660
 * timers a second and a warning. Nothing needs to be scheduled then.
 */
function stopIdleSpin(): void {
  const load = createRequire(import.meta.url);
  const queue = load('kafkajs/src/network/requestQueue/index.js') as { prototype: RequestQueue };
  queue.prototype.scheduleCheckPendingRequests = function schedule(this: RequestQueue) {
    if (this.throttleCheckTimeoutId !== null || this.pending.length === 0) return;
    const throttledMs = this.throttledUntil - Date.now();
    this.throttleCheckTimeoutId = setTimeout(
      () => {
        this.throttleCheckTimeoutId = null;
        this.checkPendingRequests();
      },
      throttledMs > 0 ? throttledMs : PENDING_LOOK_MS,
    );
  };
}
