/** An S3 server on loopback (versitygw over a folder); objects are plain files there. */
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { fetchGo } from './downloads.ts';
import {
  answers,
  freePorts,
  type ServerProcess,
  startProcess,
  untilReady,
} from './server-process.ts';

const READY_MS = 10_000;

/** Throwaway names for a server that only this machine reaches. */
export const S3_ACCESS = { id: 'test', secret: 'testtest' } as const;

/** The bucket that is there from the start. */
export const S3_BUCKET = 'lethe';

/** A running S3 server. */
export interface S3Server {
  readonly endpoint: string;
  readonly process: ServerProcess;
}

/** Brings the program. */
export function fetchS3(): string {
  return fetchGo('github.com/versity/versitygw/cmd/versitygw', 'v1.8.0');
}

/** Starts it in a folder. */
export async function startS3(folder: string): Promise<S3Server> {
  const command = fetchS3();
  const [port] = (await freePorts(1)) as [number];
  const own = join(folder, 's3');
  // A bucket is a folder there.
  mkdirSync(join(own, 'objects', S3_BUCKET), { recursive: true });
  const process = startProcess({
    name: 's3',
    folder: own,
    command,
    args: ['--port', `127.0.0.1:${port}`, '--quiet', 'posix', join(own, 'objects')],
    env: { ROOT_ACCESS_KEY: S3_ACCESS.id, ROOT_SECRET_KEY: S3_ACCESS.secret },
  });
  await untilReady(process, () => answers('127.0.0.1', port), READY_MS);
  return { endpoint: `http://127.0.0.1:${port}`, process };
}
