/**
 * While a server closes, nobody keeps it by not saying their request to its end. Node no longer
 * counts how long that takes once a server is told to close.
 */
import type { Socket } from 'node:net';
import type { HttpServer } from './http-server.ts';

/** How long a client may go on with what it had begun to ask. */
const ASKING_MS = 5_000;
const LOOK_INTERVAL_MS = 500;

/** Resets what asks for too long while the server closes; what is being answered goes on. */
export function endLateRequests(server: HttpServer): void {
  const open = new Set<Socket>();
  // By the ends of a connection: under TLS its requests come on another socket than this one.
  const answering = new Map<string, number>();
  const endsOf = ({ remoteAddress, remotePort, localAddress, localPort }: Socket) =>
    [remoteAddress, remotePort, localAddress, localPort].join(' ');
  server.server.on('connection', (socket: Socket) => {
    open.add(socket);
    socket.once('close', () => open.delete(socket));
  });
  server.addHook('preHandler', async (request, reply) => {
    const ends = endsOf(request.raw.socket);
    answering.set(ends, (answering.get(ends) ?? 0) + 1);
    reply.raw.once('close', () => {
      const left = answering.get(ends)! - 1;
      if (left > 0) answering.set(ends, left);
      else answering.delete(ends);
    });
  });
  let timer: NodeJS.Timeout | undefined;
  server.addHook('preClose', async () => {
    const sinceMs = performance.now();
    timer = setInterval(() => {
      if (performance.now() - sinceMs < ASKING_MS) return;
      for (const socket of open) if (!answering.has(endsOf(socket))) socket.resetAndDestroy();
    }, LOOK_INTERVAL_MS).unref();
  });
  server.addHook('onClose', async () => clearInterval(timer));
}
