/**
 * Read your own writes: a write answers with `Lethe-Position`, and a read that sends it back as
 * `Lethe-Wait-For` waits until the views are there.
 */
import type { FastifyReply, FastifyRequest } from 'fastify';
import type { AppId } from '../base/ids.ts';
import type { LogPosition } from '../event-log/event-log.ts';
import type { LogCursors } from '../event-log/log-cursors.ts';
import { badRequest, HttpError } from './http-error.ts';

export const POSITION_HEADER = 'lethe-position';
export const WAIT_HEADER = 'lethe-wait-for';
const NOT_OURS = 'Lethe-Wait-For takes what Lethe-Position of this app and store gave';
const WAIT_MS_MAX = 2_000;

/** Tells the client where its events lie, as a cursor that says nothing else. */
export async function sendPositions(
  reply: FastifyReply,
  cursors: LogCursors,
  app: AppId,
  positions: readonly LogPosition[],
): Promise<void> {
  if (positions.length === 0) return;
  const newest = new Map<number, number>();
  for (const { partition, offset } of positions) {
    newest.set(partition, Math.max(offset, newest.get(partition) ?? 0));
  }
  const places = [...newest].map(([partition, offset]) => ({ partition, offset }));
  reply.header(POSITION_HEADER, (await cursors.of(app)).seal('write', places));
}

/** Waits for the positions that a request asks for. Throws 503 after two seconds. */
export async function awaitPositions(
  request: FastifyRequest,
  cursors: LogCursors,
  wait: (positions: LogPosition[], timeoutMs: number) => Promise<boolean>,
): Promise<void> {
  const header = request.headers[WAIT_HEADER];
  if (header === undefined) return;
  const { appId } = request.params as { appId?: AppId };
  const positions = appId && (await cursors.of(appId)).open('write', String(header));
  if (!positions) throw badRequest(NOT_OURS);
  if (await wait(positions, WAIT_MS_MAX)) return;
  const title = 'The views are not there yet';
  throw new HttpError(503, 'views_behind', title, { retryAfterSeconds: 1 });
}
