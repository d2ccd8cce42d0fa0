/** What is compared: from an object to sealed bytes, and back. */
import { createRequire } from 'node:module';

export interface Peer {
  readonly name: string;
  seal(i: number): Promise<unknown>;
  open(i: number): Promise<unknown>;
}

/** Loads a peer's package from this folder; it has no types here. */
// biome-ignore lint/suspicious/noExplicitAny: it is installed on demand
export function loadPeer(name: string): any {
  return createRequire(import.meta.url)(name);
}

/** Fails unless a peer gives back what it was given: a wrong configuration is no comparison. */
export async function assertRoundTrip(peer: Peer, text: string): Promise<Peer> {
  const opened = (await peer.open(0)) as { text: string };
  if (opened.text !== text) throw new Error(`${peer.name} does not give the message back`);
  return peer;
}
