/** Bytes that requests keep in memory until they are answered: bounded, and shared by the apps. */
import type { FastifyReply } from 'fastify';
import { HttpError } from './http-error.ts';

/**
 * What is held, by whose it is. An app gets room as long as it then holds no more than stays free:
 * alone it has half of all, and the more others hold the less. So something is always free, and no
 * app, slow or greedy, can keep another from being served ("dynamic thresholds" with the factor 1:
 * Choudhury and Hahne, IEEE/ACM Transactions on Networking 6(2), 1998).
 */
export class HeldBytes {
  readonly #byApp = new Map<string, number>();
  readonly #bytesMax: number;
  readonly #title: string;
  #ofAll = 0;

  /** `bytesMax`: of all together. `title`: what who finds no room is told. */
  constructor(bytesMax: number, title: string) {
    this.#bytesMax = bytesMax;
    this.#title = title;
  }

  /** Holds more of an app's. Throws 503, with when to come again: there is no room now. */
  hold(app: string, bytes: number): void {
    const held = (this.#byApp.get(app) ?? 0) + bytes;
    if (held > this.#bytesMax - this.#ofAll - bytes) {
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
