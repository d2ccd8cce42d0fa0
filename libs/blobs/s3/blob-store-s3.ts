/**
 * Blobs as objects of an S3 bucket, which must keep no versions: there a removal would only hide.
 *
 * https://docs.aws.amazon.com/AmazonS3/latest/API/
 */
import { Readable } from 'node:stream';
import {
  DeleteObjectsCommand,
  GetObjectCommand,
  HeadObjectCommand,
  ListObjectsV2Command,
  S3Client,
} from '@aws-sdk/client-s3';
import { Upload } from '@aws-sdk/lib-storage';
import { LetheError } from '../../base/lethe-error.ts';
import type { S3Engine } from '../../engines/engine-urls.ts';
import type { BlobKey, BlobStore, ByteRange } from '../blob-store.ts';

const REMOVED_PER_CALL = 1_000;
const ATTEMPTS_MAX = 5;

/** Opens a bucket, without a call. Credentials are found as AWS's SDK finds them. */
export function openBlobStoreS3({ bucket, prefix, region, endpoint }: S3Engine): BlobStore {
  const client = new S3Client({
    region,
    maxAttempts: ATTEMPTS_MAX,
    retryMode: 'standard',
    // Servers that are not AWS answer under one host name.
    ...(endpoint !== undefined && { endpoint, forcePathStyle: true }),
  });
  const appOf = (app: string) => `${prefix}/${app}/`;
  const at = ({ app, blob }: BlobKey) => ({ Bucket: bucket, Key: `${appOf(app)}${blob}` });

  async function size(key: BlobKey): Promise<number | undefined> {
    const found = await asked(() => client.send(new HeadObjectCommand(at(key))));
    return found?.ContentLength;
  }

  return {
    size,
    async put(key, chunks) {
      if ((await size(key)) !== undefined) return;
      let failure: { error: unknown } | undefined;
      const watched = watch(chunks, (error) => {
        failure = { error };
      });
      const Body = Readable.from(watched, { objectMode: false });
      // In parts, of which none is left behind when one fails.
      const upload = new Upload({ client, params: { ...at(key), Body }, leavePartsOnError: false });
      try {
        await upload.done();
      } catch (error) {
        throw failure === undefined ? explain(error) : failure.error;
      }
    },
    async get(key, range) {
      if (range !== undefined && range.end <= range.start) return Readable.from([]);
      const command = new GetObjectCommand({ ...at(key), ...rangeOf(range) });
      const found = await asked(() => client.send(command));
      return found && explained(found.Body as Readable);
    },
    async remove(keys) {
      for (let from = 0; from < keys.length; from += REMOVED_PER_CALL) {
        const Objects = keys.slice(from, from + REMOVED_PER_CALL).map((key) => ({
          Key: at(key).Key,
        }));
        const Delete = { Objects, Quiet: true };
        const command = new DeleteObjectsCommand({ Bucket: bucket, Delete });
        const { Errors = [] } = (await asked(() => client.send(command))) ?? {};
        if (Errors.length > 0) throw explain({ name: Errors[0]?.Code ?? 'unknown' });
      }
    },
    async *list(app) {
      let from: string | undefined;
      do {
        const page = {
          Bucket: bucket,
          Prefix: appOf(app),
          ...(from && { ContinuationToken: from }),
        };
        const found = await asked(() => client.send(new ListObjectsV2Command(page)));
        for (const { Key } of found?.Contents ?? []) yield Key!.slice(appOf(app).length);
        from = found?.NextContinuationToken;
      } while (from !== undefined);
    },
  };
}

// RFC 9110, section 14.1.2: the last byte is part of the range.
function rangeOf(range: ByteRange | undefined): { Range?: string } {
  return range === undefined ? {} : { Range: `bytes=${range.start}-${range.end - 1}` };
}

async function* watch(chunks: AsyncIterable<Buffer>, onError: (error: unknown) => void) {
  try {
    yield* chunks;
  } catch (error) {
    onError(error);
    throw error;
  }
}

async function* explained(body: Readable): AsyncIterable<Buffer> {
  try {
    yield* body;
  } catch (error) {
    throw explain(error);
  }
}

/** Undefined: there is no such object. */
async function asked<Result>(work: () => Promise<Result>): Promise<Result | undefined> {
  try {
    return await work();
  } catch (error) {
    const { name } = error as Error;
    if (name === 'NoSuchKey' || name === 'NotFound') return undefined;
    throw explain(error);
  }
}

// Messages of the service can repeat names of buckets and keys: only its class is told.
function explain(error: unknown): LetheError {
  const { name = 'unknown' } = error as { name?: string };
  const text = `the bucket of blobs cannot be used (${name})`;
  return new LetheError('BLOBS_UNREACHABLE', text, { retryable: true, cause: error });
}
