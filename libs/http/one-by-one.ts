/**
 * Requests that a client sends over one connection without waiting (RFC 9112, section 9.3.2) are
 * answered one after the other. At once they would each hold an answer in memory, which nobody
 * bounds, and would take every turn before other connections come to theirs.
 */
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Socket } from 'node:net';
import { HttpError } from './http-error.ts';
import type { HttpServer } from './http-server.ts';
import { resetConnection } from './kept-connection.ts';

/** How many may wait on one connection, and on all: each is a head of a request in memory. */
const WAITING_MAX = 1_000;
const WAITING_ON_ALL_MAX = 3_000;
const WAITING_HEADS_MAX = 8_388_608;

interface Line {
  isAnswering: boolean;
  /** What is being answered. */
  answering: { readonly request: IncomingMessage; readonly reply: ServerResponse } | undefined;
  /** Those that were sent meanwhile, oldest first. */
  readonly waiting: { readonly request: IncomingMessage; goOn(): void }[];
  /** What is to be done when all is answered. */
  atEnd: (() => void) | undefined;
}

/** Who is being answered on which connection. */
export class AnswerLines {
  readonly #lines = new WeakMap<Socket, Line>();
  #waitingOnAll = 0;
  /** Characters of the heads that wait. */
  #waitingHeads = 0;

  /** Has requests of one connection wait for each other. Who has left is answered none. */
  addTo(server: HttpServer): void {
    const isFull = (socket: Socket) => {
      const line = this.#lines.get(socket);
      // Whoever sends one request at a time is no reason for what there is too much of.
      return line !== undefined && line.waiting.length > 0 && this.#isFull(line);
    };
    for (const opened of ['connection', 'secureConnection']) {
      server.server.on(opened, (socket: Socket) => parseOneByOne(socket, isFull));
    }
    server.addHook('onRequest', async (request, reply) => {
      const { socket } = request.raw;
      const line = this.#lineOf(socket);
      if (socket.destroyed) throw gone();
      if (line.isAnswering) await this.#wait(line, request.raw);
      if (socket.destroyed) throw gone();
      line.isAnswering = true;
      line.answering = { request: request.raw, reply: reply.raw };
      reply.raw.once('close', () => goOn(line));
    });
  }

  /**
   * Does something as soon as nothing is being answered on a connection, once. A request that has
   * not come to its end, and does not now, is not waited for; `isWithin`: its answer has begun.
   */
  whenAnswered(socket: Socket, work: (isWithin: boolean) => void): void {
    const line = this.#lineOf(socket);
    if (line.atEnd !== undefined) return;
    line.atEnd = () => work(false);
    const { request, reply } = (line.isAnswering ? line.answering : undefined) ?? {};
    if (request === undefined) work(false);
    else if (!request.complete) work(reply!.headersSent);
  }

  #lineOf(socket: Socket): Line {
    const known = this.#lines.get(socket);
    if (known !== undefined) return known;
    const line: Line = { isAnswering: false, answering: undefined, waiting: [], atEnd: undefined };
    this.#lines.set(socket, line);
    socket.once('close', () => {
      for (const next of line.waiting.splice(0)) next.goOn();
    });
    return line;
  }

  #isFull({ waiting }: Line): boolean {
    if (waiting.length >= WAITING_MAX) return true;
    return this.#waitingOnAll >= WAITING_ON_ALL_MAX || this.#waitingHeads >= WAITING_HEADS_MAX;
  }

  async #wait(line: Line, request: IncomingMessage): Promise<void> {
    const length = request.rawHeaders.reduce((sum, text) => sum + text.length, 0);
    this.#waitingOnAll += 1;
    this.#waitingHeads += length;
    await new Promise<void>((goOn) => line.waiting.push({ request, goOn }));
    this.#waitingOnAll -= 1;
    this.#waitingHeads -= length;
  }
}

const HEAD_END = Buffer.from('\r\n\r\n');

/** What is read of a request that came, as Node's parser has it: how much of its body is left. */
interface Body {
  readonly request: IncomingMessage;
  left: number;
}

/** What Node calls the request that its parser is within. */
interface Parser {
  readonly incoming?: IncomingMessage | null;
}

/**
 * Gives Node's parser one head at a time. It would make requests of all that came in one packet, a
 * thousand and more, before any of very many connections can be closed. A body whose length was
 * told is given as it came: cut at each empty line, it would be millions of pieces.
 */
function parseOneByOne(
  socket: Socket & { readonly parser?: Parser | null },
  isFull: (socket: Socket) => boolean,
): void {
  // Node's own, of a plain connection or of one under TLS; none where it parses the other of them.
  const [parse] = socket.listeners('data') as ((bytes: Buffer) => void)[];
  if (parse === undefined) return;
  const { parser } = socket;
  socket.removeListener('data', parse);
  let body: Body | undefined;
  const bodyOf = (): Body | undefined => {
    const request = parser?.incoming;
    if (!request || request.complete) return undefined;
    if (body?.request !== request) {
      body = { request, left: Number(request.headers['content-length'] ?? 0) };
    }
    return body.left > 0 ? body : undefined;
  };
  socket.on('data', (bytes: Buffer) => {
    for (let at = 0; at < bytes.length && !socket.destroyed; ) {
      // After CONNECT it has been taken back, and may be another connection's by now.
      if (socket.parser !== parser) return;
      // Where it waits for its answers to be taken, the rest waits too.
      if (socket.isPaused()) {
        socket.unshift(bytes.subarray(at));
        return;
      }
      if (isFull(socket)) {
        resetConnection(socket);
        return;
      }
      const within = bodyOf();
      const end = within ? -1 : bytes.indexOf(HEAD_END, at);
      const head = end < 0 ? bytes.length : end + HEAD_END.length;
      const next = within ? Math.min(at + within.left, bytes.length) : head;
      if (within) within.left -= next - at;
      parse(bytes.subarray(at, next));
      at = next;
    }
  });
}

function goOn(line: Line): void {
  const [next] = line.waiting;
  // What has not come to its end comes no more: nothing that follows can be told apart.
  const isCut = line.atEnd !== undefined && next?.request.complete === false;
  if (next !== undefined && !isCut) {
    // It goes on in this line: nobody may come between.
    line.waiting.shift();
    next.goOn();
    return;
  }
  line.isAnswering = false;
  line.atEnd?.();
}

/** Nobody reads it. */
const gone = () => new HttpError(400, 'bad_request', 'The client has left');
