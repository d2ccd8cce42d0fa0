/** Answers that are not successes: `{errors:[{code,title}]}`, never with anything of the input. */

import { Type } from 'typebox';

/** Thrown by routes; the server turns it into the answer. */
export class HttpError extends Error {
  readonly status: number;
  readonly code: string;
  /** JSON pointer (RFC 6901) to what was wrong in the body. */
  readonly pointer: string | undefined;
  readonly retryAfterSeconds: number | undefined;

  constructor(
    status: number,
    code: string,
    title: string,
    more: { pointer?: string; retryAfterSeconds?: number } = {},
  ) {
    super(title);
    this.name = 'HttpError';
    this.status = status;
    this.code = code;
    this.pointer = more.pointer;
    this.retryAfterSeconds = more.retryAfterSeconds;
  }
}

/** The schema of every answer that is not a success. */
export const ErrorAnswer = Type.Object({
  errors: Type.Array(
    Type.Object({
      code: Type.String({ description: 'for programs' }),
      title: Type.String({ description: 'for people' }),
      source: Type.Optional(
        Type.Object({ pointer: Type.String({ description: 'JSON pointer into the body' }) }),
      ),
    }),
  ),
});

/** The body of an answer that is not a success. */
export function errorBody(code: string, title: string, pointer?: string) {
  return { errors: [{ code, title, ...(pointer !== undefined && { source: { pointer } }) }] };
}

/** The 404 answers, one for each thing that is not there. */
export const notFound = {
  route: () => new HttpError(404, 'not_found', 'There is nothing at this address'),
  app: () => new HttpError(404, 'app_not_found', 'There is no such app'),
  user: () => new HttpError(404, 'user_not_found', 'There is no such user'),
  userErased: () => new HttpError(404, 'user_erased', 'This user was erased'),
  conversation: () => new HttpError(404, 'conversation_not_found', 'There is no such conversation'),
  message: () => new HttpError(404, 'message_not_found', 'There is no such message'),
} as const;

/** 400 with the place and the expectation. */
export function badRequest(title: string, pointer?: string): HttpError {
  return new HttpError(400, 'bad_request', title, pointer === undefined ? {} : { pointer });
}
