/**
 * Bodies of requests lie in memory while they are sent and worked on: one connection each, and
 * nobody bounds connections. So their bytes are bounded, for each app and over all. Whoever comes
 * when there is no room is told to come again; what was promised by its length counts, sent or not.
 */
import type { FastifyReply, FastifyRequest } from 'fastify';
import { HttpError } from './http-error.ts';

const OF_ONE_MAX = 16 * 1_048_576;
const OF_ALL_MAX = 48 * 1_048_576;

/** Bodies that are held, by whose they are. */
export class HeldBodies {
  readonly #byApp = new Map<string, number>();
  readonly #bodyBytesMax: number;
  #ofAll = 0;

  /** `bodyBytesMax`: what counts where a request does not say how long it is. */
  constructor(bodyBytesMax: number) {
    this.#bodyBytesMax = bodyBytesMax;
  }

  /** Counts a request's body until it is answered. Throws 503: there is no room now. */
  hold(request: FastifyRequest, reply: FastifyReply): void {
    const { headers } = request;
    const length = headers['transfer-encoding'] ? this.#bodyBytesMax : headers['content-length'];
    // What is longer than the limit is refused for that.
    const bytes = Math.min(Number(length ?? 0) || 0, this.#bodyBytesMax);
    if (bytes === 0) return;
    const { appId = '' } = (request.params ?? {}) as { appId?: string };
    const held = this.#byApp.get(appId) ?? 0;
    const isFull = (now: number, max: number) => now > 0 && now + bytes > max;
    if (isFull(held, OF_ONE_MAX) || isFull(this.#ofAll, OF_ALL_MAX)) {
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
