/**
 * The readable twin: rings as plain maps from path text to seed, every node written out, hashes by
 * node:crypto. Written from the format page alone; it shares no code with the product.
 */
import { createHash } from 'node:crypto';

const sha = (...parts: Uint8Array[]) => {
  const hash = createHash('sha256');
  for (const part of parts) hash.update(part);
  return hash.digest();
};
const label = (text: string) => {
  const out = Buffer.alloc(16);
  out.write(text);
  return out;
};

/** A tree: paths are hexadecimal text, the root is the empty path. */
export class SlowTree {
  readonly kind: number;
  readonly depth: number;
  readonly nodes: Map<string, Buffer>;

  constructor(kind: number, depth: number, root: Buffer) {
    this.kind = kind;
    this.depth = depth;
    this.nodes = new Map([['', root]]);
  }

  child(path: string, seed: Buffer, nibble: number): Buffer {
    const step = Buffer.from([this.kind, path.length + 1, nibble]);
    return sha(label('lethe.node.v1'), step, seed);
  }

  leaf(path: string): Buffer | undefined {
    for (const [prefix, seed] of this.nodes) {
      if (!path.startsWith(prefix)) continue;
      let at = prefix;
      let current = seed;
      while (at.length < this.depth) {
        const nibble = Number.parseInt(path[at.length]!, 16);
        current = this.child(at, current, nibble);
        at += path[at.length]!;
      }
      return current;
    }
    return undefined;
  }

  /** Takes everything below `prefix` away. */
  take(prefix: string): void {
    for (const [path, seed] of [...this.nodes]) {
      if (path.startsWith(prefix)) this.nodes.delete(path);
      else if (prefix.startsWith(path)) {
        this.nodes.delete(path);
        let at = path;
        let current = seed;
        while (at.length < prefix.length) {
          for (let nibble = 0; nibble < 16; nibble += 1) {
            const digit = nibble.toString(16);
            if (digit !== prefix[at.length]) {
              this.nodes.set(at + digit, this.child(at, current, nibble));
            }
          }
          const nibble = Number.parseInt(prefix[at.length]!, 16);
          current = this.child(at, current, nibble);
          at += prefix[at.length]!;
        }
      }
    }
  }
}

export const slowTimePath = (retentionClass: number, day: number) =>
  retentionClass.toString(16) + day.toString(16).padStart(4, '0');

export const slowThingPath = (thing: string) =>
  sha(label('lethe.thing.v1'), Buffer.from(thing, 'hex')).toString('hex').slice(0, 10);

/** The event key out of three trees, or undefined when any part is gone. */
export function slowEventKey(
  trees: { app: SlowTree; owner: SlowTree; place: SlowTree },
  event: { owner: string; thing: string; id: string; retentionClass: number; day: number },
): string | undefined {
  const time = slowTimePath(event.retentionClass, event.day);
  const appDay = trees.app.leaf(time);
  const ownerDay = trees.owner.leaf(time);
  const thing = trees.place.leaf(slowThingPath(event.thing));
  if (!appDay || !ownerDay || !thing) return undefined;
  const appPart = sha(label('lethe.apppart.v1'), appDay, Buffer.from(event.owner, 'hex'));
  const id = Buffer.from(event.id, 'hex');
  const kinds = Buffer.from([1, 1]);
  return sha(label('lethe.evkey.v1'), kinds, appPart, ownerDay, thing, id).toString('hex');
}
