/**
 * What the kernel still holds of connections. `finish` and a write's callback only say that the
 * kernel has the bytes: it goes on sending them for as long as the client takes, even when the
 * process has closed its socket.
 */
import { readFile } from 'node:fs/promises';

/** A connection, as the kernel names it here; the other end's address is left out. */
export interface Ports {
  readonly local: number;
  readonly remote: number;
}

/**
 * Bytes that the kernel holds of a connection and that the other end has not acknowledged, or more
 * than that; undefined: it cannot be told.
 */
export type KernelQueues = (ports: Ports) => number | undefined;

// Linux: proc(5), "/proc/net/tcp"; addresses are ADDRESS:PORT and queues TX:RX, in hex.
const TABLES = ['/proc/net/tcp', '/proc/net/tcp6'];
const LINE = /^\s*\d+: \w+:(\w{4}) \w+:(\w{4}) \w\w (\w{8}):/;

/** Reads the queues of all connections of this machine, as they are now. */
export async function readKernelQueues(): Promise<KernelQueues> {
  const queued = new Map<number, number>();
  const keyOf = ({ local, remote }: Ports) => local * 65_536 + remote;
  for (const table of TABLES) {
    for (const line of (await readFile(table, 'latin1').catch(() => '')).split('\n')) {
      const [, local, remote, bytes] = LINE.exec(line) ?? [];
      if (bytes === undefined) continue;
      const key = keyOf({ local: parseInt(local!, 16), remote: parseInt(remote!, 16) });
      // Several machines may call from one port: the fullest of their queues counts for each.
      queued.set(key, Math.max(queued.get(key) ?? 0, parseInt(bytes, 16)));
    }
  }
  return (ports) => queued.get(keyOf(ports));
}
