/** Bytes that requests keep in memory until they are answered: bounded for an app and over all. */
import type { FastifyReply } from 'fastify';
import { HttpError } from './http-error.ts';

/** How many bytes may be held at once; one request that is alone may hold more. */
export interface HeldMax {
  readonly ofOne: number;
  readonly ofAll: number;
}

/** What is held, by whose it is. */
export class HeldBytes {
  readonly #byApp = new Map<string, number>();
  readonly #max: HeldMax;
  readonly #title: string;
  #ofAll = 0;

  /** `title`: what who finds no room is told. */
  constructor(max: HeldMax, title: string) {
    this.#max = max;
    this.#title = title;
  }

  /** Holds more of an app's. Throws 503, with when to come again: there is no room now. */
  hold(app: string, bytes: number): void {
    const held = this.#byApp.get(app) ?? 0;
    const isFull = (now: number, max: number) => now > 0 && now + bytes > max;
    if (isFull(held, this.#max.ofOne) || isFull(this.#ofAll, this.#max.ofAll)) {
      throw new HttpError(503, 'overloaded', this.#title, { retryAfterSeconds: 1 });
    }
    this.#change(app, bytes);
  }

  /** The same until a request's client has its answer, or has left. Throws 400: it has before. */
  holdUntilTaken(app: string, bytes: number, { raw }: Pick<FastifyReply, 'raw'>): void {
    if (raw.closed || raw.destroyed) throw new HttpError(400, 'bad_request', 'The client has left');
    this.hold(app, bytes);
    raw.once('close', () => this.letGo(app, bytes));
  }

  letGo(app: string, bytes: number): void {
    this.#change(app, -bytes);
  }

  #change(app: string, bytes: number): void {
    const held = (this.#byApp.get(app) ?? 0) + bytes;
    if (held > 0) this.#byApp.set(app, held);
    else this.#byApp.delete(app);
    this.#ofAll += bytes;
  }
}
