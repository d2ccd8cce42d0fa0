/**
 * Read your own writes: a write answers with `Lethe-Position`, and a read that sends it back as
 * `Lethe-Wait-For` waits until the views are there.
 */
import type { FastifyReply, FastifyRequest } from 'fastify';
import type { LogPosition } from '../event-log/event-log.ts';
import { badRequest, HttpError } from './http-error.ts';

export const POSITION_HEADER = 'lethe-position';
export const WAIT_HEADER = 'lethe-wait-for';
const WAIT_MS_MAX = 2_000;

/** Tells the client where its events lie: `partition:offset`, comma-separated. */
export function sendPositions(reply: FastifyReply, positions: readonly LogPosition[]): void {
  if (positions.length === 0) return;
  const newest = new Map<number, number>();
  for (const { partition, offset } of positions) {
    newest.set(partition, Math.max(offset, newest.get(partition) ?? 0));
  }
  reply.header(POSITION_HEADER, [...newest].map((pair) => pair.join(':')).join(','));
}

/** Waits for the positions that a request asks for. Throws 503 after two seconds. */
export async function awaitPositions(
  request: FastifyRequest,
  wait: (positions: LogPosition[], timeoutMs: number) => Promise<boolean>,
): Promise<void> {
  const header = request.headers[WAIT_HEADER];
  if (header === undefined) return;
  const positions = String(header)
    .split(',')
    .map((text) => {
      const match = /^(\d{1,5}):(\d{1,15})$/.exec(text.trim());
      if (match === null) throw badRequest('Lethe-Wait-For takes what Lethe-Position gave');
      return { partition: Number(match[1]), offset: Number(match[2]) };
    });
  if (await wait(positions, WAIT_MS_MAX)) return;
  const title = 'The views are not there yet';
  throw new HttpError(503, 'views_behind', title, { retryAfterSeconds: 1 });
}
