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
/** Most that do not say how long they are are short; what is longer takes as much at a time. */
const UNTOLD = MEGABYTE;

/** The room that one request's body has. */
export interface BodyRoom {
  /**
   * So many bytes have come by now. Throws 413: it is longer than any may be. 503: there is no room
   * for what it did not say that it would be.
   */
  take(bytes: number): void;
}

/** Bodies that are held, by whose they are. */
export class HeldBodies {
  readonly #byApp = new Map<string, number>();
  readonly #bodyBytesMax: number;
  #ofAll = 0;

  /** `bodyBytesMax`: the longest that is taken; twice as much of one app, six times of all, fit. */
  constructor(bodyBytesMax: number) {
    this.#bodyBytesMax = bodyBytesMax;
  }

  /** Counts a request's body until it is answered. Throws 413, and 503: there is no room now. */
  hold({ headers, params, raw }: FastifyRequest, reply: FastifyReply): BodyRoom {
    const isUntold = headers['transfer-encoding'] !== undefined;
    const length = isUntold ? UNTOLD : Number(headers['content-length'] ?? 0);
    if (length === 0) return { take: () => undefined };
    // Its end has been told already, and is told once.
    if (reply.raw.closed || reply.raw.destroyed || raw.socket.destroyed) {
      throw new HttpError(400, 'bad_request', 'The client has left');
    }
    const { appId = '' } = (params ?? {}) as { appId?: string };
    let held = 0;
    const hold = (bytes: number) => {
      this.#assertRoom(appId, bytes - held);
      this.#change(appId, bytes - held);
      held = bytes;
    };
    const max = this.#bodyBytesMax;
    if (length > max && !isUntold) throw tooLarge();
    hold(Math.min(length, max));
    reply.raw.once('close', () => this.#change(appId, -held));
    return {
      take(bytes) {
        if (bytes > max) throw tooLarge();
        if (bytes > held) hold(Math.min(Math.max(bytes, held + UNTOLD), max));
      },
    };
  }

  #assertRoom(app: string, bytes: number): void {
    const held = this.#byApp.get(app) ?? 0;
    const isFull = (now: number, max: number) => now > 0 && now + bytes > max;
    const ofOneMax = Math.max(OF_ONE_MAX, 2 * this.#bodyBytesMax);
    const ofAllMax = Math.max(OF_ALL_MAX, 6 * this.#bodyBytesMax);
    if (isFull(held, ofOneMax) || isFull(this.#ofAll, ofAllMax)) {
      const title = 'Too much is being sent at once: nothing of this was taken in';
      throw new HttpError(503, 'overloaded', title, { retryAfterSeconds: 1 });
    }
  }

  #change(app: string, bytes: number): void {
    const held = (this.#byApp.get(app) ?? 0) + bytes;
    if (held > 0) this.#byApp.set(app, held);
    else this.#byApp.delete(app);
    this.#ofAll += bytes;
  }
}

const tooLarge = () => new HttpError(413, 'payload_too_large', 'The body is larger than the limit');
