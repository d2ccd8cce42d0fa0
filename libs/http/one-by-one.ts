/**
 * Requests that a client sends over one connection without waiting (RFC 9112, section 9.3.2) are
 * answered one after the other. At once they would each hold an answer in memory, which nobody
 * bounds, and would take every turn before other connections come to theirs.
 */
import type { Socket } from 'node:net';
import { HttpError } from './http-error.ts';
import type { HttpServer } from './http-server.ts';

/** How many may wait on one connection: each is a head of a request in memory. */
const WAITING_MAX = 1_000;

interface Line {
  isAnswering: boolean;
  /** Those that were sent meanwhile, oldest first. */
  readonly waiting: (() => void)[];
}

/** Has requests of one connection wait for each other. Who has left is answered none. */
export function answerOneByOne(server: HttpServer): void {
  const lines = new WeakMap<Socket, Line>();

  function lineOf(socket: Socket): Line {
    const known = lines.get(socket);
    if (known !== undefined) return known;
    const line: Line = { isAnswering: false, waiting: [] };
    lines.set(socket, line);
    socket.once('close', () => {
      for (const goOn of line.waiting.splice(0)) goOn();
    });
    return line;
  }

  server.addHook('onRequest', async (request, reply) => {
    const { socket } = request.raw;
    if (socket.destroyed) throw gone();
    const line = lineOf(socket);
    if (line.waiting.length >= WAITING_MAX) socket.destroy();
    else if (line.isAnswering) await new Promise<void>((goOn) => line.waiting.push(goOn));
    if (socket.destroyed) throw gone();
    line.isAnswering = true;
    reply.raw.once('close', () => {
      const next = line.waiting.shift();
      // It goes on in this line: nobody may come between.
      if (next !== undefined) next();
      else line.isAnswering = false;
    });
  });
}

/** Nobody reads it. */
const gone = () => new HttpError(400, 'bad_request', 'The client has left');
