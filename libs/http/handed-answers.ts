/**
 * What was opened and handed to connections, until the clients have it. Handed to the kernel is not
 * delivered: a slow client may be sent it minutes later. So a loss resets the connections on which
 * something lies that cannot be opened any more, before the loss is acknowledged: T0 waits for it.
 */
import type { IncomingMessage, Server } from 'node:http';
import { Socket } from 'node:net';
import { Server as TlsServer } from 'node:tls';
import type { EventSealer, KeyedHeader } from '../keyring/event-sealer.ts';
import type { KeyringUse } from '../keyring/keyring.ts';
import { type NotedUse, noteUse } from '../keyring/noted-use.ts';
import { allOpenStill } from '../keyring/open-events.ts';
import { HttpError } from './http-error.ts';
import type { HttpServer } from './http-server.ts';
import { type KeptAnswer, KeptConnection, type MayHandOn } from './kept-connection.ts';
import { readKernelQueues } from './kernel-queues.ts';

/** The powers that an answer is opened with. */
interface OpeningPowers {
  readonly keyring: KeyringUse;
  readonly sealer: EventSealer;
}

/** Where routes that open sealed events get the powers for it. */
export interface HandedAnswers {
  /**
   * Powers for one request. Its answer leaves only if all of it may be handed on at that moment,
   * and is kept until the client has it.
   */
  powersFor<Powers extends OpeningPowers>(request: object, powers: Powers): Powers;
  /**
   * Tells what a request's answer repeats of what the request said: events that were just sealed.
   * It leaves, and is kept, as if they had been opened for it.
   */
  repeats(request: object, powers: OpeningPowers, headers: readonly KeyedHeader[]): void;
  /**
   * Keeps what a route writes by itself. It is called in the same turn as the look whether that may
   * be handed on; call back when the kernel has it.
   */
  keep(request: { readonly raw: IncomingMessage }, noted: NotedUse): () => void;
  /** Ends the connection of a request at once, and takes back what its client has not taken. */
  end(request: { readonly raw: IncomingMessage }): void;
}

const LOOK_INTERVAL_MS = 250;
// While the server closes: how long a client may take nothing, and may take in all. Whoever starts
// services gives them ten seconds to end, as a rule.
const CLOSING = { lookIntervalMs: 20, stillMsMax: 3_000, takenMsMax: 8_000 };

/** Watches over the connections of a server. An answer not taken in `takenMsMax` is reset. */
export function openHandedAnswers(
  server: HttpServer,
  { keyring, takenMsMax }: { keyring: KeyringUse; takenMsMax: number },
): HandedAnswers {
  const connections = watchConnections(server.server, whileLeaseIsHeld(keyring));
  const noted = new WeakMap<object, NotedUse>();
  let lookIntervalMs = LOOK_INTERVAL_MS;
  let closingSinceMs = Number.POSITIVE_INFINITY;
  let timer: NodeJS.Timeout | undefined;

  const busy = () => [...connections.values()].filter(({ answers }) => answers.length > 0);

  /** Where nothing can be told of connections any more, nothing may be left on them. */
  function resetAll(): void {
    for (const connection of busy()) connection.reset();
  }

  /** Lets go of what was taken by now, and of clients that take too long. */
  async function look(): Promise<void> {
    const handed = busy().map((connection) => [connection, connection.handedBytes] as const);
    if (handed.length === 0) return;
    const queues = await readKernelQueues();
    const nowMs = performance.now();
    const isOver = ({ movedMs }: KeptConnection) =>
      nowMs - closingSinceMs >= CLOSING.takenMsMax ||
      nowMs - Math.max(closingSinceMs, movedMs) >= CLOSING.stillMsMax;
    for (const [connection, bytes] of handed) {
      connection.release(bytes, queues, isOver(connection) ? nowMs : nowMs - takenMsMax);
    }
  }

  function lookSoon(): void {
    if (timer !== undefined || busy().length === 0) return;
    const lookAndGoOn = () =>
      look()
        .catch(resetAll)
        .finally(() => {
          timer = undefined;
          lookSoon();
        });
    timer = setTimeout(lookAndGoOn, lookIntervalMs).unref();
  }

  function keep(socket: Socket, { openedEvents }: NotedUse): () => void {
    if (openedEvents().length === 0) return () => undefined;
    const connection = connections.get(socket);
    if (connection === undefined) {
      // One that nobody watches over could not be taken back.
      if (socket instanceof Socket) socket.destroy();
      return () => undefined;
    }
    const handed = connection.keep(openedEvents(), performance.now());
    lookSoon();
    return handed;
  }

  // It never rejects: the loss would never be acknowledged, nor any that comes after it.
  keyring.listen((lost) => takeBack(lost).catch(resetAll));

  async function takeBack(lost: ReadonlySet<string> | 'unknown'): Promise<void> {
    const isTouched = ({ ids }: KeptAnswer) => lost === 'unknown' || !ids.isDisjointFrom(lost);
    const touched = busy().filter(({ answers }) => answers.some(isTouched));
    if (touched.length === 0) return;
    for (const connection of touched) connection.holdBack();
    await look();
    const isLost = async (answer: KeptAnswer) =>
      lost === 'unknown' || !(await allOpenStill(keyring, answer.events).catch(() => false));
    const judge = async (connection: KeptConnection) => {
      const answers = connection.answers.filter(isTouched);
      if ((await Promise.all(answers.map(isLost))).includes(true)) connection.reset();
      else connection.letGoOn();
    };
    await Promise.all(touched.map(judge));
  }

  server.addHook('preClose', async () => {
    lookIntervalMs = CLOSING.lookIntervalMs;
    closingSinceMs = performance.now();
    clearTimeout(timer);
    timer = undefined;
    lookSoon();
  });

  server.addHook('onSend', async (request, reply, payload) => {
    const own = noted.get(request);
    if (own === undefined || reply.statusCode >= 400) return payload;
    if (own.usedRings().length === 0 && own.openedEvents().length === 0) return payload;
    await keyring.renewLease();
    // Also the rings of what is repeated are used now, so that they are vouched for.
    const isOpen = await allOpenStill(own.keyring, own.repeatedEvents());
    if (!isOpen || !keyring.vouches(own.usedRings())) {
      throw new HttpError(503, 'unavailable', 'Something in it was erased meanwhile: try again', {
        retryAfterSeconds: 1,
      });
    }
    reply.raw.once('finish', keep(request.raw.socket, own));
    return payload;
  });

  function notedOf(request: object, powers: OpeningPowers): NotedUse {
    const own = noted.get(request) ?? noteUse(powers);
    noted.set(request, own);
    return own;
  }

  return {
    powersFor(request, powers) {
      const own = notedOf(request, powers);
      return { ...powers, keyring: own.keyring, sealer: own.sealer };
    },
    repeats: (request, powers, headers) => notedOf(request, powers).note(headers),
    keep: ({ raw }, own) => keep(raw.socket, own),
    end: ({ raw }) => (connections.get(raw.socket) ?? raw.socket).end(),
  };
}

function whileLeaseIsHeld(keyring: KeyringUse): MayHandOn {
  return {
    now: () => keyring.vouches([]),
    ask(connection) {
      // Whatever was lost is heard of by then, and what it touches is held back.
      keyring.renewLease().then(
        () => connection.goOn(),
        () => connection.reset(),
      );
    },
  };
}

/** The open connections of a server by the socket that requests come on. */
function watchConnections(server: Server, may: MayHandOn): Map<Socket, KeptConnection> {
  const connections = new Map<Socket, KeptConnection>();
  const add = (socket: Socket, raw: Socket) => {
    connections.set(socket, new KeptConnection({ socket, raw }, may));
    socket.once('close', () => connections.delete(socket));
  };
  // Under TLS the socket of requests comes second, over the TCP socket of the same two ends.
  const endsOf = ({ localAddress, localPort, remoteAddress, remotePort }: Socket) =>
    [localAddress, localPort, remoteAddress, remotePort].join(' ');
  const raws = new Map<string, Socket>();
  const isTls = server instanceof TlsServer;
  server.prependListener('connection', (raw: Socket) => {
    if (!isTls) return add(raw, raw);
    const ends = endsOf(raw);
    raws.set(ends, raw);
    // The next connection of the same ends may be there before this one is closed.
    raw.once('close', () => raws.get(ends) === raw && raws.delete(ends));
  });
  server.prependListener('secureConnection', (socket: Socket) => {
    const raw = raws.get(endsOf(socket));
    // Gone by now: what it is given could not be taken back.
    if (raw === undefined || raw.destroyed) socket.destroy();
    else add(socket, raw);
  });
  return connections;
}
