/**
 * While a server closes, nobody keeps it by not saying their request to its end. Node no longer
 * counts how long that takes once a server is told to close.
 */
import type { Socket } from 'node:net';
import type { HttpServer } from './http-server.ts';

/** How long a client may go on with what it had begun to ask. */
const ASKING_MS = 5_000;
/** How long a client that was answered may go on taking its answer. */
const TAKING_MS = 8_000;
const LOOK_INTERVAL_MS = 500;

interface OpenConnection {
  readonly socket: Socket;
  /** How many answers are being made. */
  answering: number;
  wasAnswered: boolean;
}

/** Resets what asks for too long while the server closes; what is being answered goes on. */
export function endLateRequests(server: HttpServer): void {
  // By their ends: under TLS requests come on another socket than this one. The next connection of
  // the same ends may be there before this one is closed.
  const open = new Map<string, OpenConnection>();
  const endsOf = ({ remoteAddress, remotePort, localAddress, localPort }: Socket) =>
    [remoteAddress, remotePort, localAddress, localPort].join(' ');
  server.server.on('connection', (socket: Socket) => {
    const ends = endsOf(socket);
    const own = { socket, answering: 0, wasAnswered: false };
    open.set(ends, own);
    socket.once('close', () => open.get(ends) === own && open.delete(ends));
  });
  server.addHook('preHandler', async (request, reply) => {
    const own = open.get(endsOf(request.raw.socket));
    if (own === undefined) return;
    own.answering += 1;
    own.wasAnswered = true;
    reply.raw.once('close', () => {
      own.answering -= 1;
    });
  });
  let timer: NodeJS.Timeout | undefined;
  server.addHook('preClose', async () => {
    const sinceMs = performance.now();
    timer = setInterval(() => {
      const closingMs = performance.now() - sinceMs;
      for (const { socket, answering, wasAnswered } of open.values()) {
        if (answering > 0 || closingMs < (wasAnswered ? TAKING_MS : ASKING_MS)) continue;
        socket.resetAndDestroy();
      }
    }, LOOK_INTERVAL_MS).unref();
  });
  server.addHook('onClose', async () => clearInterval(timer));
}
