/**
 * The HTTP server that all doors share: limits, authentication, errors, OpenAPI. Routes are added
 * by the services; logs hold method, route pattern, status and time, never a path or a body.
 */
import { STATUS_CODES } from 'node:http';
import type { Socket } from 'node:net';
import swagger from '@fastify/swagger';
import type { TypeBoxTypeProvider } from '@fastify/type-provider-typebox';
import fastify, {
  type FastifyBaseLogger,
  type FastifyError,
  type FastifyInstance,
  type FastifyReply,
  type FastifyRequest,
  LogController,
} from 'fastify';
import pino from 'pino';
import type { AccessScope } from '../access/access-key-store.ts';
import type { AccessKeys, Principal } from '../access/access-keys.ts';
import { ANSWER_HEADER, type AttackCredentials } from '../access/attack-credentials.ts';
import type { Clock } from '../base/clock.ts';
import { type AppId, textToId } from '../base/ids.ts';
import { isLetheError, type LetheError } from '../base/lethe-error.ts';
import { nextTurn } from '../base/loop-turns.ts';
import { isTracing, openSpan } from '../engines/tracing.ts';
import type { AppRegistry } from '../vault/keys/app-registry.ts';
import { endLateRequests } from './closing-connections.ts';
import { type BodyRoom, HeldBodies } from './held-bodies.ts';
import { ErrorAnswer, errorBody, HttpError, notFound } from './http-error.ts';
import { readJsonBodies } from './json-bodies.ts';
import { AnswerLines } from './one-by-one.ts';

declare module 'fastify' {
  interface FastifyRequest {
    /** Who calls; set before any route under /v2 runs. */
    principal: Principal | undefined;
    /** Of a request of the attack: its answer is signed over this. */
    attackNonce: string | undefined;
    /** What its body may take; set before any body is read. */
    bodyRoom: BodyRoom | undefined;
  }
  interface FastifyContextConfig {
    /** Scopes that may call this route; absent: all. */
    scopes?: readonly AccessScope[];
  }
}

export interface HttpServerOptions {
  /** Who may call routes under /v2; without it there are none. */
  readonly access?: {
    readonly accessKeys: AccessKeys;
    readonly apps: AppRegistry;
    readonly clock: Pick<Clock, 'nowMs'>;
    /** Lets the attack of an erasure in, where this process is a holder of keys. */
    readonly attacks: AttackCredentials & { holderId(): string | undefined };
  };
  readonly bodyBytesMax: number;
  readonly logLevel: string;
  readonly version: string;
  /** PEM; the server then speaks HTTPS alone. */
  readonly tls?: { readonly cert: Buffer; readonly key: Buffer };
  /** Called after each answer, for metrics. */
  onAnswer(answer: { route: string; method: string; status: number; seconds: number }): void;
}

const UPLOAD_TIMEOUT_MS = 60_000;

/** Suites whose recorded traffic no stolen key opens: https://www.rfc-editor.org/rfc/rfc9325 */
const FORWARD_SECRET = {
  minVersion: 'TLSv1.2',
  ciphers:
    'TLS_AES_256_GCM_SHA384:TLS_CHACHA20_POLY1305_SHA256:TLS_AES_128_GCM_SHA256:' +
    'ECDHE+AESGCM:ECDHE+CHACHA20',
} as const;
const HSTS = 'max-age=31536000';

/** Whoever asks whether this process lives, and how it is, waits for no turn. */
const PROBES = ['/healthz', '/readyz', '/metrics'];

/** Makes the server; routes are added to it, then it listens. */
export async function createHttpServer(options: HttpServerOptions) {
  // Logs go to standard error: standard output is for results.
  const settings = { level: options.logLevel, base: { service: 'lethe' } };
  const lines = new AnswerLines();
  const logger = pino(settings, pino.destination({ fd: 2, sync: true }));
  const server = fastify({
    // One type of server for both: what is listened to differs, nothing else here.
    ...(options.tls && ({ https: { ...options.tls, ...FORWARD_SECRET } } as object)),
    logController: new LogController({ disableRequestLogging: true }),
    loggerInstance: logger as FastifyBaseLogger,
    bodyLimit: options.bodyBytesMax,
    requestTimeout: UPLOAD_TIMEOUT_MS,
    forceCloseConnections: 'idle',
    // Fastify's own answer while closing has another shape than ours.
    return503OnClosing: false,
    // What is of another type is refused, never changed: an id that is a number has other digits.
    ajv: { customOptions: { removeAdditional: false, coerceTypes: false, allErrors: false } },
    routerOptions: { maxParamLength: 600 },
    clientErrorHandler: (error, socket) => answerWhatIsNoRequest(lines, error, socket),
    // Errors from before routing (an address that is no URL) do not reach the handler below.
    frameworkErrors: (error: FastifyError, _request: FastifyRequest, reply: FastifyReply) => {
      const { status, code, message } = toHttpError(error);
      return reply.status(status).send(errorBody(code, message));
    },
  }).withTypeProvider<TypeBoxTypeProvider>();
  await server.register(swagger, { openapi: describe(options.version) });
  // Every route can answer with an error; the document says so once for all of them.
  server.addHook('onRoute', ({ schema }) => {
    if (schema === undefined || schema.hide) return;
    schema.response = { '4xx': ErrorAnswer, '5xx': ErrorAnswer, ...(schema.response ?? {}) };
  });
  // Answers are written as they are: what a schema does not name must not vanish.
  server.setSerializerCompiler(() => (answer) => JSON.stringify(answer));
  server.removeContentTypeParser('text/plain');
  readJsonBodies(server, 'application/json');
  server.decorateRequest('principal', undefined);
  server.decorateRequest('attackNonce', undefined);
  server.decorateRequest('bodyRoom', undefined);
  lines.addTo(server);
  // Whoever is told CONNECT is heard of by nobody else: an error there would end the process.
  server.server.on('connection', (socket: Socket) => socket.on('error', () => undefined));
  server.server.on('secureConnection', (socket: Socket) => socket.on('error', () => undefined));
  addSpans(server);
  endLateRequests(server);
  let isClosing = false;
  server.addHook('preClose', async () => {
    isClosing = true;
  });
  const bodies = new HeldBodies(options.bodyBytesMax);
  server.addHook('onRequest', async (request, reply) => {
    if (isClosing) {
      throw new HttpError(503, 'stopping', 'Shutting down', { retryAfterSeconds: 1 });
    }
    const { appId = '' } = (request.params ?? {}) as { appId?: string };
    if (!PROBES.includes(request.routeOptions.url ?? '')) await nextTurn(appId);
    await authorise(request, options);
    request.bodyRoom = bodies.hold(request, reply);
  });
  server.addHook('onSend', async (request, reply, payload) => {
    if (options.tls !== undefined) reply.header('strict-transport-security', HSTS);
    const { attackNonce } = request;
    if (attackNonce === undefined || options.access === undefined) return payload;
    const body = typeof payload === 'string' ? payload : '';
    const code = await options.access.attacks.answerCode(attackNonce, reply.statusCode, body);
    reply.header(ANSWER_HEADER, code);
    return payload;
  });
  server.addHook('onResponse', async (request, reply) => {
    const route = request.routeOptions.url ?? 'unknown';
    const { method } = request;
    const status = reply.statusCode;
    const seconds = reply.elapsedTime / 1_000;
    options.onAnswer({ route, method, status, seconds });
    request.log.info({ method, route, status, milliseconds: Math.round(reply.elapsedTime) });
  });
  server.setNotFoundHandler((_request, reply) => {
    const { status, code, message } = notFound.route();
    return reply.status(status).send(errorBody(code, message));
  });
  server.setErrorHandler((error: FastifyError, request, reply) => {
    const answer = toHttpError(error);
    // An answer that a route chose, as "not yet, again later", is no failure of the server.
    if (answer.status >= 500 && !(error instanceof HttpError)) {
      const code = isLetheError(error) ? error.code : error.name;
      const isSetting = isLetheError(error, 'CONFIGURATION_INVALID');
      const why = isSetting && { why: (error as LetheError).message };
      request.log.error({ route: request.routeOptions.url, code, ...why, stack: stackOf(error) });
    }
    if (answer.status === 401) reply.header('www-authenticate', 'Basic realm="lethe"');
    if (answer.retryAfterSeconds !== undefined) {
      reply.header('retry-after', String(answer.retryAfterSeconds));
    }
    return reply.status(answer.status).send(errorBody(answer.code, answer.message, answer.pointer));
  });
  server.get('/openapi.json', { schema: { hide: true } }, () => server.swagger());
  return server;
}

/**
 * A span a request, by its route: addresses name people, so they are not in it. It begins a trace
 * of its own, linked to the caller's: the id that a caller chose is not written beside events.
 */
function addSpans(server: FastifyInstance): void {
  const spans = new WeakMap<FastifyRequest, ReturnType<typeof openSpan>>();
  server.addHook('onRequest', (request, _reply, done) => {
    if (!isTracing()) return done();
    const { method, headers } = request;
    const route = request.routeOptions.url ?? 'unknown';
    const attributes = { 'http.request.method': method, 'http.route': route };
    const links = [headers.traceparent ?? []].flat();
    const span = openSpan(`${method} ${route}`, { kind: 'server', attributes, links });
    spans.set(request, span);
    span.run(done);
  });
  server.addHook('onResponse', async (request, reply) => {
    const { statusCode } = reply;
    spans.get(request)?.end({ 'http.response.status_code': statusCode }, statusCode >= 500);
  });
}

/** What the OpenAPI document says of the whole. */
function describe(version: string) {
  return {
    openapi: '3.1.0' as const,
    info: {
      title: 'Lethe',
      description: 'A self-hosted conversation store that can forget.',
      version,
      license: { name: 'Apache-2.0', identifier: 'Apache-2.0' },
    },
    components: {
      securitySchemes: {
        basic: { type: 'http' as const, scheme: 'basic' },
        bearer: { type: 'http' as const, scheme: 'bearer', bearerFormat: 'JWT' },
      },
    },
    security: [{ basic: [] }, { bearer: [] }],
  };
}

/** A server to which routes can be added; see createHttpServer. */
export type HttpServer = Awaited<ReturnType<typeof createHttpServer>>;

/** Where a failure came from, without its message: messages of dependencies may quote input. */
function stackOf(error: Error): string {
  const lines = (error.stack ?? '').split('\n').filter((line) => /^\s+at /.test(line));
  return lines.slice(0, 6).join('\n');
}

/**
 * Answers what Node could not read as a request, after all that came before it, and ends the
 * connection. Nothing that follows on it can be told apart.
 */
function answerWhatIsNoRequest(lines: AnswerLines, error: ClientError, socket: Socket): void {
  if (error.code === 'ECONNRESET' || socket.destroyed) return;
  socket.pause();
  lines.whenAnswered(socket, (isWithin) => (isWithin ? socket.destroy() : refuse(error, socket)));
}

function refuse(error: ClientError, socket: Socket): void {
  const [status, code, title] = NO_REQUESTS[error.code] ?? NO_HTTP;
  const body = JSON.stringify(errorBody(code, title));
  const head = [
    `HTTP/1.1 ${status} ${STATUS_CODES[status]}`,
    'content-type: application/json',
    `content-length: ${body.length}`,
    'connection: close',
  ];
  if (socket.writable) socket.write(`${head.join('\r\n')}\r\n\r\n${body}`);
  socket.destroy(error);
}

type ClientError = Error & { readonly code: string };
type NoRequest = readonly [status: number, code: string, title: string];

const NO_HTTP: NoRequest = [400, 'bad_request', 'This is no request of HTTP/1.1'];
const NO_REQUESTS: Readonly<Record<string, NoRequest>> = {
  ERR_HTTP_REQUEST_TIMEOUT: [408, 'timeout', 'The request did not come to its end in time'],
  HPE_HEADER_OVERFLOW: [431, 'too_large', 'The head of the request is longer than 16 KiB'],
};

/**
 * Who calls, and may they reach this app? Another app's address answers as if it did not exist, so
 * that nobody learns what exists.
 */
async function authorise(request: FastifyRequest, options: HttpServerOptions): Promise<void> {
  const route = request.routeOptions.url;
  // Before a body is read: for an address that is none nobody reads one.
  if (route === undefined) throw notFound.route();
  if (!route.startsWith('/v2/')) return;
  if (options.access === undefined) throw notFound.route();
  const { accessKeys, apps } = options.access;
  const principal =
    (await recogniseAttack(request, options.access)) ??
    (await accessKeys.recognise(request.headers.authorization));
  if (principal === undefined) {
    throw new HttpError(401, 'unauthorized', 'Give a valid key id and secret, or a valid token');
  }
  request.principal = principal;
  const { appId } = request.params as { appId?: string };
  if (appId !== undefined) {
    const app = textToId<AppId>(appId);
    if (app === undefined || (principal.app !== null && principal.app !== app)) {
      throw notFound.app();
    }
    if ((await apps.find(app)) === undefined) throw notFound.app();
  }
  const scopes = request.routeOptions.config.scopes;
  if (scopes !== undefined && !scopes.includes(principal.scope)) {
    throw new HttpError(403, 'forbidden', `This needs a key of scope ${scopes.join(' or ')}`);
  }
}

/** A request of the attack may read one path, once, and is answered with a code. */
async function recogniseAttack(
  request: FastifyRequest,
  { attacks, clock }: NonNullable<HttpServerOptions['access']>,
): Promise<Principal | undefined> {
  const holder = attacks.holderId();
  if (request.method !== 'GET' || holder === undefined) return undefined;
  const asked = { holder, path: request.raw.url ?? '', nowMs: clock.nowMs() };
  const pass = await attacks.recognise(request.headers.authorization, asked);
  if (pass === undefined) return undefined;
  request.attackNonce = pass.nonce;
  return { keyId: 'attack', scope: 'app', app: pass.app };
}

const FASTIFY_CODES: Readonly<Record<string, [status: number, code: string, title: string]>> = {
  FST_ERR_CTP_BODY_TOO_LARGE: [413, 'payload_too_large', 'The body is larger than the limit'],
  FST_ERR_CTP_INVALID_MEDIA_TYPE: [
    415,
    'unsupported_media_type',
    'Send JSON, with content-type: application/json',
  ],
  FST_ERR_CTP_INVALID_JSON_BODY: [400, 'bad_request', 'The body is not valid JSON'],
  FST_ERR_CTP_EMPTY_JSON_BODY: [400, 'bad_request', 'The body is empty'],
  FST_ERR_CTP_INVALID_CONTENT_LENGTH: [400, 'bad_request', 'The body is not of the given length'],
  FST_ERR_BAD_URL: [400, 'bad_request', 'The address is not a valid URL'],
  FST_ERR_MAX_PARAM_LENGTH: [404, 'not_found', 'There is nothing at this address'],
};

function toHttpError(error: FastifyError): HttpError {
  if (error instanceof HttpError) return error;
  const known = FASTIFY_CODES[error.code];
  if (known !== undefined) return new HttpError(...known);
  const [problem] = error.validation ?? [];
  if (problem !== undefined) {
    const where = error.validationContext === 'body' ? '' : `/${error.validationContext}`;
    const missing = (problem.params as { missingProperty?: string }).missingProperty;
    const pointer = `${where}${problem.instancePath}${missing === undefined ? '' : `/${missing}`}`;
    const { allowedValues } = problem.params as { allowedValues?: unknown[] };
    const allowed = allowedValues === undefined ? '' : `: ${allowedValues.join(', ')}`;
    const title = missing === undefined ? `It ${problem.message}${allowed}` : 'It is missing';
    return new HttpError(400, 'bad_request', title, { pointer: pointer || '/' });
  }
  if (error instanceof SyntaxError) {
    return new HttpError(400, 'bad_request', 'The body is not valid JSON');
  }
  if (isLetheError(error)) return letheToHttpError(error);
  const status = error.statusCode ?? 500;
  if (status >= 400 && status < 500) return new HttpError(status, 'bad_request', 'Bad request');
  return new HttpError(500, 'internal_error', 'An unexpected failure; it was logged');
}

function letheToHttpError(error: LetheError): HttpError {
  if (error.code === 'INPUT_INVALID') return new HttpError(400, 'bad_request', error.message);
  if (error.code === 'EVENT_TAMPERED' || error.code === 'VAULT_TAMPERED') {
    return new HttpError(500, 'tampered', 'Stored data was changed from outside');
  }
  if (error.code === 'FORMAT_UNKNOWN') {
    return new HttpError(500, 'format_unknown', 'Stored data is of a newer version, or damaged');
  }
  if (error.code === 'STORE_FULL') {
    return new HttpError(507, 'store_full', 'The store has no room; nothing was accepted', {
      retryAfterSeconds: 60,
    });
  }
  const isSetting = error.code === 'CONFIGURATION_INVALID';
  if (isSetting && !error.message.startsWith('LETHE_ERASURES')) {
    const title = 'A setting of this server is wrong: nothing was done. Its log says which';
    return new HttpError(503, 'misconfigured', title, { retryAfterSeconds: 60 });
  }
  if (isSetting || error.code === 'ERASURES_TAMPERED') {
    const title = 'The list of erasures is missing or was changed: nothing was done';
    return new HttpError(503, 'erasures_unavailable', title, { retryAfterSeconds: 60 });
  }
  if (error.retryable) {
    return new HttpError(503, 'unavailable', 'Try again', { retryAfterSeconds: 1 });
  }
  return new HttpError(500, 'internal_error', 'An unexpected failure; it was logged');
}
