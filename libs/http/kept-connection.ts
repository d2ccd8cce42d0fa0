/**
 * One connection, with the answers on it that were opened from sealed events and that the client
 * has not taken yet. While there are some, no close gives up the descriptor, whoever asks for it: a
 * kernel that has the bytes sends them on, and nobody could take them back. A reset makes it drop
 * them (RST).
 */
import type { Socket } from 'node:net';
import type { KeyedHeader } from '../keyring/event-sealer.ts';
import type { KernelQueues, Ports } from './kernel-queues.ts';

/** What was opened for one answer, or one event of a stream. */
export interface KeptAnswer {
  readonly events: readonly KeyedHeader[];
  /** Ids of the owners, places and apps that its events were opened under. */
  readonly ids: ReadonlySet<string>;
  readonly sinceMs: number;
  /** Bytes of the connection up to its end; undefined: not all of it was written. */
  end: number | undefined;
}

/** Whether what was opened may be handed to the kernel. */
export interface MayHandOn {
  /** At this moment: nothing was lost that this process has not heard of. */
  now(): boolean;
  /** Finds out whether it may, and then has the connection go on, or resets it. */
  ask(connection: KeptConnection): void;
}

/** What is given to the kernel at a time. */
const SLICE_BYTES = 65_536;
const SLICES_PER_TURN = 32;
// More than a kernel keeps for one connection: what came before so many later bytes was taken.
const SEND_BUFFER_BYTES_MAX = 16 * 1024 * 1024;
// The kernel has nothing left of a connection on which a call failed so.
const DEAD = new Set(['ECONNRESET', 'EPIPE', 'ETIMEDOUT', 'ECONNABORTED']);
const CALLS = new Set(['read', 'write', 'shutdown']);

const connections = new WeakMap<Socket, KeptConnection>();

/** Ends a connection at once. What was kept on it is taken back. */
export function resetConnection(socket: Socket): void {
  const kept = connections.get(socket);
  if (kept === undefined) socket.destroy();
  else kept.end();
}

/** A connection whose close waits for what was kept. */
export class KeptConnection {
  readonly #socket: Socket;
  readonly #raw: Socket;
  readonly #destroy: Socket['destroy'];
  readonly #ports: Ports;
  #answers: KeptAnswer[] = [];
  #handedBytes = 0;
  #takenBytes = 0;
  #movedMs = 0;
  readonly #mayHandOn: () => boolean;
  readonly #askToHandOn: () => void;
  #isClosing = false;
  #isReset = false;
  #holdsBack = 0;
  #waiting: (() => void) | undefined;

  /** `raw` is the TCP socket under a TLS socket; without TLS it is the socket itself. */
  constructor({ socket, raw }: { readonly socket: Socket; readonly raw: Socket }, may: MayHandOn) {
    this.#socket = socket;
    this.#raw = raw;
    this.#mayHandOn = may.now;
    this.#askToHandOn = () => may.ask(this);
    this.#ports = { local: raw.localPort ?? 0, remote: raw.remotePort ?? 0 };
    this.#destroy = socket.destroy.bind(socket);
    socket.destroy = (error) => this.#close(error);
    connections.set(socket, this);
    this.#sliceWrites();
  }

  // What a stream says of itself counts bytes here and letters there: so each write is counted when
  // the kernel has all of it. It is given some at a time. The rest of a long write would follow by
  // itself, also after a loss that this process, busy or paused, has not heard of yet.
  #sliceWrites(): void {
    const socket = this.#socket;
    const write = socket._write.bind(socket);
    const writeSlices = (bytes: Buffer, done: (error?: Error | null) => void) => {
      let at = 0;
      const next = (error?: Error | null) => {
        if (error) return done(error);
        if (at >= bytes.length && at > 0) return done();
        this.#whenAllowed(() => {
          const slice = bytes.subarray(at, at + SLICE_BYTES);
          at += Math.max(slice.length, 1);
          write(slice, 'buffer' as BufferEncoding, (failed) => {
            if (!failed) this.#handedBytes += slice.length;
            // A kernel that takes all at once calls back at once.
            if (at % (SLICES_PER_TURN * SLICE_BYTES) === 0) setImmediate(next, failed);
            else next(failed);
          });
        });
      };
      next();
    };
    socket._write = (chunk, encoding, done) => writeSlices(toBytes({ chunk, encoding }), done);
    socket._writev = (chunks, done) => writeSlices(Buffer.concat(chunks.map(toBytes)), done);
  }

  /** Writes now, or when that may go on; after a reset, never. */
  #whenAllowed(write: () => void): void {
    const isHeldBack = this.#holdsBack > 0;
    if (this.#answers.length === 0 || (!isHeldBack && this.#mayHandOn())) {
      write();
      return;
    }
    this.#waiting = write;
    if (!isHeldBack) this.#askToHandOn();
  }

  /** Writes nothing more until `letGoOn` is called as often: something may have been lost. */
  holdBack(): void {
    this.#holdsBack += 1;
  }

  letGoOn(): void {
    this.#holdsBack -= 1;
    this.goOn();
  }

  /** Writes what waits, if it may. */
  goOn(): void {
    const write = this.#waiting;
    this.#waiting = undefined;
    if (write !== undefined && !this.#isReset) this.#whenAllowed(write);
  }

  /** When the client was last given an answer, or seen to have taken more. */
  get movedMs(): number {
    return Math.max(this.#movedMs, ...this.#answers.map(({ sinceMs }) => sinceMs));
  }

  get answers(): readonly KeptAnswer[] {
    return this.#answers;
  }

  /** Keeps an answer before its first byte is written; call back when the kernel has the last. */
  keep(events: readonly KeyedHeader[], nowMs: number): () => void {
    const ids = new Set(events.flatMap(({ app, owner, place }) => [app, owner, place]));
    const answer: KeptAnswer = { events, ids, sinceMs: nowMs, end: undefined };
    this.#answers.push(answer);
    return () => {
      answer.end = this.#handedBytes;
    };
  }

  /**
   * Bytes that the kernel was given. Read it before the kernel's queues: what is written in between
   * then only makes fewer bytes seem taken.
   */
  get handedBytes(): number {
    return this.#handedBytes;
  }

  /**
   * Lets go of what the client has taken, and closes if that was waited for. What was not taken
   * since `oldestMs` is reset, or let go where the kernel does not tell.
   */
  release(handedBytes: number, queues: KernelQueues, oldestMs: number): void {
    const queued = queues(this.#ports);
    // Under TLS the queue holds the longer, encrypted bytes: fewer seem taken than are.
    const taken = handedBytes - (queued ?? SEND_BUFFER_BYTES_MAX);
    if (taken > this.#takenBytes) this.#movedMs = performance.now();
    this.#takenBytes = Math.max(taken, this.#takenBytes);
    const isOld = ({ sinceMs }: KeptAnswer) => sinceMs <= oldestMs;
    this.#answers = this.#answers.filter((answer) => {
      const isTaken = answer.end !== undefined && answer.end <= taken;
      return !isTaken && !(queued === undefined && answer.end !== undefined && isOld(answer));
    });
    if (this.#answers.some(isOld)) this.reset();
    else if (this.#isClosing && this.#answers.length === 0) this.#destroy();
  }

  /** Takes back what the kernel holds and what still waits to be written. */
  reset(): void {
    if (this.#isReset) return;
    this.#isReset = true;
    this.#answers = [];
    // A TLS socket cannot be reset; the TCP socket under it can.
    this.#raw.resetAndDestroy();
    this.#destroy();
  }

  /** Closes at once: what the client has not taken is taken back. */
  end(): void {
    if (this.#answers.length > 0) this.reset();
    else this.#destroy();
  }

  #close(error: Error | undefined): Socket {
    // Node makes errors of these names itself, too: those come from no call.
    const { code = '', syscall = '' } = (error ?? {}) as NodeJS.ErrnoException;
    const isDead = DEAD.has(code) && CALLS.has(syscall);
    if (this.#answers.length === 0 || this.#isReset || isDead) return this.#destroy(error);
    this.#isClosing = true;
    // The client is told that no more comes, and reads on what is there.
    if (!this.#socket.writableEnded) this.#socket.end();
    return this.#socket;
  }
}

function toBytes({
  chunk,
  encoding,
}: {
  chunk: Buffer | string;
  encoding: BufferEncoding;
}): Buffer {
  return typeof chunk === 'string' ? Buffer.from(chunk, encoding) : chunk;
}
