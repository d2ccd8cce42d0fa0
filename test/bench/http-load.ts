/** A small HTTP load: keep-alive clients that send as fast, or as often, as they are told. */
import { Agent, request } from 'node:http';
import { percentile } from './statistics.ts';

export interface Load {
  readonly address: string;
  readonly authorization: string;
  readonly clients: number;
  readonly count: number;
  /** Requests a second of all clients together; absent: as fast as it goes. */
  readonly perSecond?: number;
  next(i: number): { method: string; path: string; body?: string };
}

export interface LoadResult {
  readonly perSecond: number;
  readonly failed: number;
  readonly p50Ms: number;
  readonly p99Ms: number;
}

/** Sends the requests and measures each. */
export async function runLoad(load: Load): Promise<LoadResult> {
  const agent = new Agent({ keepAlive: true, maxSockets: load.clients });
  const times: number[] = [];
  let failed = 0;
  let sent = 0;
  const started = performance.now();
  const client = async () => {
    while (sent < load.count) {
      const i = sent;
      sent += 1;
      if (load.perSecond !== undefined) {
        const dueMs = started + (i * 1_000) / load.perSecond;
        const waitMs = dueMs - performance.now();
        if (waitMs > 0) await new Promise((resolve) => setTimeout(resolve, waitMs));
      }
      const from = performance.now();
      const status = await send(agent, load, i);
      times.push(performance.now() - from);
      if (status >= 300) failed += 1;
    }
  };
  await Promise.all(Array.from({ length: load.clients }, client));
  const seconds = (performance.now() - started) / 1_000;
  agent.destroy();
  return {
    perSecond: Math.round(load.count / seconds),
    failed,
    p50Ms: round(percentile(times, 50)),
    p99Ms: round(percentile(times, 99)),
  };
}

function round(ms: number): number {
  return Math.round(ms * 100) / 100;
}

function send(agent: Agent, load: Load, i: number): Promise<number> {
  const { method, path, body } = load.next(i);
  return new Promise((resolve, reject) => {
    const call = request(load.address + path, {
      agent,
      method,
      headers: {
        authorization: load.authorization,
        ...(body !== undefined && {
          'content-type': 'application/json',
          'content-length': Buffer.byteLength(body),
        }),
      },
    });
    call.on('response', (answer) => {
      answer.resume();
      answer.on('end', () => resolve(answer.statusCode ?? 0));
    });
    call.on('error', reject);
    call.end(body);
  });
}
