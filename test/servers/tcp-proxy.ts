/**
 * A wire that can be cut: forwards connections, and while it is cut lets nothing through and closes
 * nothing, as a network does that drops all packets. What was sent meanwhile arrives afterwards.
 */
import { type AddressInfo, connect, createServer, type Server, type Socket } from 'node:net';

export class TcpProxy {
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();
  #target: { host: string; port: number } | undefined;
  #isCut = false;
  #waiting: (() => void)[] = [];

  private constructor() {
    this.#server = createServer({ pauseOnConnect: true }, (client) => this.#take(client));
  }

  /** Listens on a free port of 127.0.0.1; what connects waits until `forwardTo` was called. */
  static async open(): Promise<TcpProxy> {
    const proxy = new TcpProxy();
    await new Promise<void>((resolve) => proxy.#server.listen(0, '127.0.0.1', resolve));
    return proxy;
  }

  get port(): number {
    return (this.#server.address() as AddressInfo).port;
  }

  forwardTo(target: { host: string; port: number }): void {
    this.#target = target;
    this.#letThrough();
  }

  cut(): void {
    this.#isCut = true;
    for (const socket of this.#sockets) socket.pause();
  }

  restore(): void {
    this.#isCut = false;
    for (const socket of this.#sockets) socket.resume();
    this.#letThrough();
  }

  async close(): Promise<void> {
    for (const socket of this.#sockets) socket.destroy();
    await new Promise((resolve) => this.#server.close(resolve));
  }

  #letThrough(): void {
    const waiting = this.#waiting;
    this.#waiting = [];
    for (const one of waiting) one();
  }

  #take(client: Socket): void {
    this.#keep(client);
    const forward = () => {
      if (client.destroyed) return;
      const server = connect(this.#target!);
      this.#keep(server);
      join(client, server);
      join(server, client);
      if (this.#isCut) server.pause();
      else client.resume();
    };
    if (this.#isCut || this.#target === undefined) this.#waiting.push(forward);
    else forward();
  }

  #keep(socket: Socket): void {
    this.#sockets.add(socket);
    socket.on('error', () => undefined);
    socket.on('close', () => this.#sockets.delete(socket));
  }
}

function join(from: Socket, to: Socket): void {
  from.on('data', (chunk) => void to.write(chunk));
  from.on('end', () => to.end());
  from.on('close', () => to.destroy());
}
