/**
 * Bodies of requests lie in memory while they are sent and worked on: one connection each, and
 * nobody bounds connections. So their bytes are bounded, for each app and over all. Whoever comes
 * when there is no room is told to come again; what was promised by its length counts, sent or not.
 */
import type { FastifyReply, FastifyRequest } from 'fastify';
import { HttpError } from './http-error.ts';

const MEGABYTE = 1_048_576;
const OF_ONE_MAX = 16 * MEGABYTE;
const OF_ALL_MAX = 48 * MEGABYTE;

/** Bodies that are held, by whose they are. */
export class HeldBodies {
  readonly #byApp = new Map<string, number>();
  readonly #bodyBytesMax: number;
  #ofAll = 0;

  /** `bodyBytesMax`: the longest that is taken; twice as much of one app, six times of all, fit. */
  constructor(bodyBytesMax: number) {
    this.#bodyBytesMax = bodyBytesMax;
  }

  /** Counts a request's body until it is answered. Throws 503: there is no room now. */
  hold(request: FastifyRequest, reply: FastifyReply): void {
    const { headers } = request;
    // Most that do not say how long they are are short.
    const length = headers['transfer-encoding'] ? MEGABYTE : headers['content-length'];
    // What is longer than the limit is refused for that.
    const bytes = Math.min(Number(length ?? 0) || 0, this.#bodyBytesMax);
    if (bytes === 0) return;
    // Its end has been told already, and is told once.
    if (reply.raw.closed || reply.raw.destroyed || request.raw.socket.destroyed) {
      throw new HttpError(400, 'bad_request', 'The client has left');
    }
    const { appId = '' } = (request.params ?? {}) as { appId?: string };
    const held = this.#byApp.get(appId) ?? 0;
    const isFull = (now: number, max: number) => now > 0 && now + bytes > max;
    const ofOneMax = Math.max(OF_ONE_MAX, 2 * this.#bodyBytesMax);
    const ofAllMax = Math.max(OF_ALL_MAX, 6 * this.#bodyBytesMax);
    if (isFull(held, ofOneMax) || isFull(this.#ofAll, ofAllMax)) {
      const title = 'Too much is being sent at once: nothing of this was taken in';
      throw new HttpError(503, 'overloaded', title, { retryAfterSeconds: 1 });
    }
    this.#change(appId, bytes);
    reply.raw.once('close', () => this.#change(appId, -bytes));
  }

  #change(app: string, bytes: number): void {
    const held = (this.#byApp.get(app) ?? 0) + bytes;
    if (held > 0) this.#byApp.set(app, held);
    else this.#byApp.delete(app);
    this.#ofAll += bytes;
  }
}
