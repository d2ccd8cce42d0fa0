/** Bodies of requests: JSON in UTF-8, kept exactly or refused. */
import type { FastifyInstance, FastifyRequest } from 'fastify';
import { readExactJson } from '../codec/exact-json.ts';
import { badRequest, HttpError } from './http-error.ts';

/** Has bodies of a media type read as JSON. Clients send the type with an empty body too. */
export function readJsonBodies(server: FastifyInstance, mediaType: string): void {
  server.addContentTypeParser(mediaType, { parseAs: 'buffer' }, (request, body, done) => {
    try {
      assertPlain(request);
      done(null, body.length === 0 ? undefined : readBody(body as Buffer));
    } catch (error) {
      done(error as HttpError);
    }
  });
}

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
