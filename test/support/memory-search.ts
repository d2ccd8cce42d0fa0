/** Looks into the memory of a running process, as somebody who may read it would. */
import { closeSync, openSync, readFileSync, readSync } from 'node:fs';

const CHUNK_BYTES = 4 * 1024 * 1024;
// More than the longest thing that is looked for: what lies across two chunks is found too.
const OVERLAP_BYTES = 64;

/** How often each of these lies in the writable memory of a process, by their names. */
export function searchMemory(
  pid: number,
  needles: ReadonlyMap<string, Buffer>,
): Record<string, number> {
  const found: Record<string, number> = {};
  const handle = openSync(`/proc/${pid}/mem`, 'r');
  const chunk = Buffer.alloc(CHUNK_BYTES);
  try {
    for (const [from, to] of writableRegions(pid)) {
      for (let at = from; at < to; at += CHUNK_BYTES - OVERLAP_BYTES) {
        const size = readAt(handle, chunk, at, Math.min(CHUNK_BYTES, to - at));
        const bytes = chunk.subarray(0, size);
        for (const [name, needle] of needles) {
          const count = countIn(bytes, needle);
          if (count > 0) found[name] = (found[name] ?? 0) + count;
        }
        if (size < CHUNK_BYTES) break;
      }
    }
  } finally {
    closeSync(handle);
    chunk.fill(0);
  }
  return found;
}

function countIn(bytes: Buffer, needle: Buffer): number {
  let count = 0;
  for (let at = bytes.indexOf(needle); at >= 0; at = bytes.indexOf(needle, at + 1)) count += 1;
  return count;
}

function writableRegions(pid: number): [number, number][] {
  const lines = readFileSync(`/proc/${pid}/maps`, 'utf8').split('\n');
  return lines.flatMap((line) => {
    const [, from, to] = /^(\w+)-(\w+) rw/.exec(line) ?? [];
    return from === undefined ? [] : [[parseInt(from, 16), parseInt(to!, 16)] as [number, number]];
  });
}

/** Regions may be gone since they were listed. */
function readAt(handle: number, into: Buffer, at: number, size: number): number {
  try {
    return readSync(handle, into, 0, size, at);
  } catch {
    return 0;
  }
}
