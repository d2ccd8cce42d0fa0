/** A client that asks over a socket of its own and reads when it wants, as slow ones do. */
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { connect, type Socket } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { connect as connectTls } from 'node:tls';
import { onTestFinished } from 'vitest';

/** One connection; it has read the first bytes of the answer and then no more. */
export interface SlowClient {
  /** Bytes that have come to its machine: those it has read, and those its kernel holds for it. */
  arrivedBytes(): number;
  /** The same, once no more come: every buffer on the way is full. */
  untilFull(): Promise<number>;
  /** Bytes that the server's kernel holds for it. */
  queuedBytes(): number;
  /** Reads on until nothing comes for a while or the connection ends. */
  readOn(quietMs?: number): Promise<{ text: string; ended: boolean }>;
  /** Reads on at a pace, in bytes a second, until the connection ends. */
  readAt(pace: number): Promise<string>;
  /** Sends more. */
  say(text: string): void;
  /** Says that it will send no more. */
  halfClose(): void;
}

/** The kernel's line of a TCP connection by its two ports. */
function lineOf(local: number, remote: number) {
  const port = (number: number) => number.toString(16).toUpperCase().padStart(4, '0');
  const wanted = new RegExp(`:${port(local)} \\w+:${port(remote)} (\\w\\w) (\\w+):(\\w+)`);
  for (const table of ['/proc/net/tcp', '/proc/net/tcp6']) {
    const [, , sent, received] = wanted.exec(readFileSync(table, 'latin1')) ?? [];
    if (sent !== undefined) return { sent: parseInt(sent, 16), received: parseInt(received!, 16) };
  }
  return undefined;
}

/** Sends a request and stops reading after the first bytes of the answer. */
export async function askSlowly(url: string, request: string): Promise<SlowClient> {
  const { hostname, port: portText, protocol } = new URL(url);
  const serverPort = Number(portText);
  const raw = connect({ host: hostname, port: serverPort });
  await once(raw, 'connect');
  const isTls = protocol === 'https:';
  const socket: Socket = isTls ? connectTls({ socket: raw, rejectUnauthorized: false }) : raw;
  onTestFinished(() => void socket.destroy());
  let hasEnded = false;
  let chunks: Buffer[] = [];
  socket.on('data', (chunk: Buffer) => chunks.push(chunk));
  socket.on('error', () => undefined);
  socket.on('close', () => {
    hasEnded = true;
  });
  socket.write(request);
  const port = raw.localPort!;
  await once(socket, 'data');
  socket.pause();
  const arrivedBytes = () => raw.bytesRead + (lineOf(port, serverPort)?.received ?? 0);
  return {
    arrivedBytes,
    async untilFull() {
      for (let before = -1; before !== arrivedBytes(); ) {
        before = arrivedBytes();
        await sleep(500);
      }
      return arrivedBytes();
    },
    queuedBytes: () => lineOf(serverPort, port)?.sent ?? 0,
    async readOn(quietMs = 1_000) {
      chunks = [];
      socket.resume();
      for (let before = -1; !hasEnded && before < chunks.length; ) {
        before = chunks.length;
        await sleep(quietMs);
      }
      return { text: Buffer.concat(chunks).toString(), ended: hasEnded };
    },
    async readAt(pace) {
      chunks = [];
      let bytes = 0;
      const began = performance.now();
      socket.on('data', (chunk: Buffer) => {
        bytes += chunk.length;
        const aheadMs = (bytes / pace) * 1_000 - (performance.now() - began);
        if (aheadMs <= 0) return;
        socket.pause();
        setTimeout(() => socket.resume(), aheadMs);
      });
      socket.resume();
      while (!hasEnded) await sleep(50);
      return Buffer.concat(chunks).toString();
    },
    say: (text) => void socket.write(text),
    halfClose: () => void socket.end(),
  };
}
