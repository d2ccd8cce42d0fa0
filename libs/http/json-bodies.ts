/** Bodies of requests: JSON in UTF-8, kept exactly or refused. */
import type { IncomingMessage } from 'node:http';
import type { FastifyInstance, FastifyRequest } from 'fastify';
import { readExactJson } from '../codec/exact-json.ts';
import type { BodyRoom } from './held-bodies.ts';
import { badRequest, HttpError } from './http-error.ts';

/** Has bodies of a media type read as JSON. Clients send the type with an empty body too. */
export function readJsonBodies(server: FastifyInstance, mediaType: string): void {
  server.addContentTypeParser(mediaType, async (request: FastifyRequest, raw: IncomingMessage) => {
    assertPlain(request);
    const body = await readBytes(raw, request.bodyRoom!);
    return body.length === 0 ? undefined : readBody(body);
  });
}

/**
 * A body's bytes, in one piece: of a body in very many chunks, each would take more memory than
 * what it carries. Throws what `room` throws: what comes after that is let go by, as whoever sends
 * it must be able to read the answer.
 */
function readBytes(raw: IncomingMessage, room: BodyRoom): Promise<Buffer> {
  let bytes = Buffer.allocUnsafeSlow(Number(raw.headers['content-length'] ?? 0) || PIECE_BYTES);
  let length = 0;
  const add = (chunk: Buffer) => {
    room.take(length + chunk.length);
    if (length + chunk.length > bytes.length) {
      const larger = Buffer.allocUnsafeSlow(Math.max(2 * bytes.length, length + chunk.length));
      bytes.copy(larger, 0, 0, length);
      bytes = larger;
    }
    length += chunk.copy(bytes, length);
  };
  return new Promise((resolve, reject) => {
    const listen = (chunk: Buffer) => {
      try {
        add(chunk);
      } catch (error) {
        raw.off('data', listen);
        raw.resume();
        reject(error);
      }
    };
    raw.on('data', listen);
    raw.once('end', () => resolve(bytes.subarray(0, length)));
    for (const cut of ['error', 'close']) {
      raw.once(cut, () => reject(badRequest('The client has left')));
    }
  });
}

const PIECE_BYTES = 65_536;

function readBody(body: Buffer): unknown {
  const read = readExactJson(body);
  if ('value' in read) return read.value;
  throw badRequest(`The body must be ${read.problem}`);
}

/** Throws 415: another encoding, or a compressed body. */
function assertPlain({ headers }: FastifyRequest): void {
  const [, charset] = /charset\s*=\s*"?([^";\s]+)/i.exec(headers['content-type'] ?? '') ?? [];
  const encoding = headers['content-encoding'] ?? 'identity';
  if (/^(utf-?8|us-ascii)$/i.test(charset ?? 'utf-8') && encoding === 'identity') return;
  throw new HttpError(415, 'unsupported_media_type', 'Send JSON in UTF-8, not compressed');
}
