/**
 * Bodies of requests lie in memory while they are sent and worked on: one connection each, and
 * nobody bounds connections. So their bytes are bounded, for each app and over all. Whoever comes
 * when there is no room is told to come again; what was promised by its length counts, sent or not.
 */
import type { FastifyReply, FastifyRequest } from 'fastify';
import { HeldBytes } from './held-bytes.ts';
import { HttpError } from './http-error.ts';

const MEGABYTE = 1_048_576;
const HELD_BYTES_MAX = 48 * MEGABYTE;
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
  readonly #held: HeldBytes;
  readonly #bodyBytesMax: number;

  /** `bodyBytesMax`: the longest that is taken; of one app alone three of them fit. */
  constructor(bodyBytesMax: number) {
    this.#bodyBytesMax = bodyBytesMax;
    const title = 'Too much is being sent at once: nothing of this was taken in';
    this.#held = new HeldBytes(Math.max(HELD_BYTES_MAX, 6 * bodyBytesMax), title);
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
      this.#held.hold(appId, bytes - held);
      held = bytes;
    };
    const max = this.#bodyBytesMax;
    if (length > max && !isUntold) throw tooLarge();
    hold(Math.min(length, max));
    reply.raw.once('close', () => this.#held.letGo(appId, held));
    return {
      take(bytes) {
        if (bytes > max) throw tooLarge();
        if (bytes > held) hold(Math.min(Math.max(bytes, held + UNTOLD), max));
      },
    };
  }
}

const tooLarge = () => new HttpError(413, 'payload_too_large', 'The body is larger than the limit');
