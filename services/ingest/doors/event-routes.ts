/** `POST /v2/apps/{appId}/events`: CloudEvents 1.0 JSON, one (structured mode) or a batch. */
import { Type } from 'typebox';
import type { AppId } from '../../../libs/base/ids.ts';
import { readCloudEvent } from '../../../libs/conversation/cloud-event.ts';
import type { LogPosition } from '../../../libs/event-log/event-log.ts';
import { EventsBody } from '../../../libs/http/event-bodies.ts';
import { badRequest, HttpError } from '../../../libs/http/http-error.ts';
import type { HttpServer } from '../../../libs/http/http-server.ts';
import { readJsonBodies } from '../../../libs/http/json-bodies.ts';
import { sendPositions } from '../../../libs/http/positions.ts';
import { AppParameters } from '../../../libs/http/route-parameters.ts';
import type { IngestPowers } from '../../../libs/wiring/powers.ts';
import type { Ingest } from '../ingest.ts';
import { type IngestItem, namesIn, type Outcome } from '../plan/ingest-item.ts';

const EVENTS_MAX = 10_000;
const NAMES_MAX = 20_000;
const MEDIA_TYPES = ['application/cloudevents+json', 'application/cloudevents-batch+json'];

const Result = Type.Object({
  index: Type.Integer(),
  status: Type.String({ description: 'accepted, duplicate, erased or rejected' }),
  eventId: Type.Optional(Type.String()),
  error: Type.Optional(
    Type.Object({
      code: Type.String(),
      title: Type.String(),
      pointer: Type.Optional(Type.String()),
      retryable: Type.Boolean(),
    }),
  ),
});

const Answer = Type.Object({
  accepted: Type.Integer(),
  duplicate: Type.Integer(),
  erased: Type.Integer(),
  rejected: Type.Integer(),
  results: Type.Array(Result),
});

/** Adds the route. */
export function addEventRoutes(
  server: HttpServer,
  ingest: Ingest,
  { clock, cursors }: Pick<IngestPowers, 'clock' | 'cursors'>,
): void {
  for (const type of MEDIA_TYPES) readJsonBodies(server, type);
  server.post(
    '/v2/apps/:appId/events',
    {
      schema: {
        summary: 'Take in events of channels; answers once all accepted ones are durable',
        tags: ['events'],
        params: AppParameters,
        body: EventsBody,
        response: { 200: Answer },
      },
      // What is wrong is told for each event, and what is not wrong is taken in.
      validatorCompiler: () => () => true,
    },
    async (request, reply) => {
      const app = request.params.appId as AppId;
      const given = isBinary(request) ? eventOfHeaders(request) : request.body;
      const events = Array.isArray(given) ? given : [given];
      if (events.length > EVENTS_MAX) throw badRequest(`at most ${EVENTS_MAX} events at once`);
      const results = await acceptEvents(ingest, app, { events, nowMs: clock.nowMs() });
      const [only] = results;
      if (!Array.isArray(given) && only?.error) throw refusalOf(only.error);
      const count = (status: string) => results.filter((one) => one.status === status).length;
      const positions = results.flatMap((one) => one.positions ?? []);
      await sendPositions(reply, cursors, app, positions);
      return {
        accepted: count('accepted'),
        duplicate: count('duplicate'),
        erased: count('erased'),
        rejected: count('rejected'),
        results: results.map(({ positions: _, ...shown }) => shown),
      };
    },
  );
}

/** The media type tells the mode: gateways add headers to structured events, too. */
function isBinary({ headers, body }: Carried): boolean {
  const isStructured = MEDIA_TYPES.some((type) => String(headers['content-type']).startsWith(type));
  return headers['ce-specversion'] !== undefined && !isStructured && !Array.isArray(body);
}

interface Carried {
  readonly headers: Readonly<Record<string, unknown>>;
  readonly body: unknown;
}

/** An event in binary mode (CloudEvents 1.0, HTTP binding, section 3.1): the body is its data. */
function eventOfHeaders({ headers, body }: Carried): object {
  const attributes = Object.entries(headers).flatMap(([name, value]) =>
    name.startsWith('ce-') ? [[name.slice(3), decoded(String(value))]] : [],
  );
  return { ...Object.fromEntries(attributes), data: body };
}

/** Values are percent-encoded; what is none stays as it is, and is judged as any text. */
function decoded(value: string): string {
  try {
    return decodeURIComponent(value);
  } catch {
    return value;
  }
}

/** A single event that is refused is a request that is refused. */
function refusalOf({ code, title, pointer, retryable }: ResultError): HttpError {
  const status = retryable ? 503 : code === 'id_taken' ? 409 : 400;
  const where = pointer === undefined ? {} : { pointer };
  return new HttpError(status, code, title, {
    ...where,
    ...(retryable && { retryAfterSeconds: 1 }),
  });
}

interface ResultError {
  readonly code: string;
  readonly title: string;
  readonly pointer?: string;
  readonly retryable: boolean;
}

async function acceptEvents(
  ingest: Ingest,
  app: AppId,
  given: { events: readonly unknown[]; nowMs: number },
): Promise<(ShownOutcome & { readonly index: number })[]> {
  const { events, nowMs } = given;
  const reads = events.map((event) => readCloudEvent(event, nowMs));
  const items: IngestItem[] = reads.flatMap((read) =>
    'value' in read ? [{ kind: 'delivery', delivery: read.value }] : [],
  );
  const names = items.reduce((sum, item) => sum + namesIn(item), 0);
  if (names > NAMES_MAX) {
    const title = `The events name ${names} people: at most ${NAMES_MAX} at once`;
    throw new HttpError(413, 'too_many_people', title);
  }
  const outcomes = await ingest.accept(app, items);
  let at = 0;
  return reads.map((read, index) => {
    if ('problem' in read) {
      const { pointer, expected } = read.problem;
      const title = `expected ${expected}`;
      const error: ResultError = { code: 'invalid_event', title, pointer, retryable: false };
      return { index, status: 'rejected', error };
    }
    return { index, ...shownOutcome(outcomes[at++]!) };
  });
}

interface ShownOutcome {
  readonly status: string;
  readonly eventId?: string;
  readonly positions?: LogPosition[];
  readonly error?: ResultError;
}

function shownOutcome(outcome: Outcome): ShownOutcome {
  switch (outcome.status) {
    case 'accepted':
      return { status: 'accepted', eventId: outcome.eventId, positions: outcome.positions };
    case 'duplicate':
      return { status: 'duplicate', eventId: outcome.eventId };
    case 'erased':
      return { status: 'erased' };
    case 'rejected':
      return { status: 'rejected', error: outcome.error };
  }
}
