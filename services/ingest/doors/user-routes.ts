/** Users of the REST interface: create and update. */
import { Type } from 'typebox';
import { type AppId, isId, type SubjectId } from '../../../libs/base/ids.ts';
import { METADATA_JSON_MAX, readProfileFields } from '../../../libs/conversation/cloud-event.ts';
import type { ProfileFields } from '../../../libs/conversation/delivery.ts';
import { readFields } from '../../../libs/conversation/field-reader.ts';
import type { HandedAnswers } from '../../../libs/http/handed-answers.ts';
import { badRequest, HttpError, notFound } from '../../../libs/http/http-error.ts';
import type { HttpServer } from '../../../libs/http/http-server.ts';
import { sendPositions } from '../../../libs/http/positions.ts';
import {
  AppParameters,
  subjectOfPath,
  UserParameters,
} from '../../../libs/http/route-parameters.ts';
import { USER_CHANNEL } from '../../../libs/people/find-subject.ts';
import { readPeople } from '../../../libs/people/people.ts';
import type { IngestPowers } from '../../../libs/wiring/powers.ts';
import type { Ingest } from '../ingest.ts';
import { EMPTY_PROFILE } from '../plan/plan-parts.ts';
import { acceptRepeated, type Repeating } from './accept-one.ts';
import { seeOwnWrites } from './see-own-writes.ts';

const Body = Type.Object({
  externalId: Type.Optional(Type.String({ minLength: 1, maxLength: 512 })),
  signedUpAt: Type.Optional(Type.String()),
  profile: Type.Optional(Type.Object({})),
  metadata: Type.Optional(Type.Object({})),
});
const Answer = Type.Object({ user: Type.Object({}, { additionalProperties: true }) });

/** Adds the routes. */
export function addUserRoutes(
  server: HttpServer,
  ingest: Ingest,
  powers: IngestPowers,
  answers: HandedAnswers,
): void {
  server.post(
    '/v2/apps/:appId/users',
    {
      schema: {
        summary: 'Create a user',
        tags: ['users'],
        params: AppParameters,
        body: Body,
        response: { 201: Answer },
      },
    },
    async (request, reply) => {
      const app = request.params.appId as AppId;
      const { externalId } = request.body;
      if (externalId === undefined) throw badRequest('It is missing', '/externalId');
      if (!externalId.isWellFormed() || externalId.includes('\0')) {
        throw badRequest('It must be well-formed Unicode text without NUL', '/externalId');
      }
      if (isId(externalId)) {
        throw badRequest('It must not be 32 hexadecimal digits: a user id is', '/externalId');
      }
      const given = readParts(request.body);
      const identity = { channel: USER_CHANNEL, externalId };
      const [known] = await powers.directory.findSubjects(app, [identity]);
      if (known !== undefined) {
        throw new HttpError(409, 'conflict', 'There is a user of this externalId', {
          pointer: '/externalId',
        });
      }
      const from = { request, answers, powers };
      const made = await makeUser(from, ingest, { app, identity });
      const fields = { ...EMPTY_PROFILE, ...given.profile };
      const profile = given.profile === undefined ? null : fields;
      const metadata = given.metadata ?? null;
      const subject = made.subject;
      const command = { kind: 'profile', subject, readFrom: null, profile, metadata } as const;
      const positions =
        profile === null && metadata === null
          ? []
          : (await acceptRepeated(from, ingest, app, command)).positions;
      sendPositions(reply, [...made.positions, ...positions]);
      reply.status(201);
      const shown = { id: made.alias, externalId, signedUpAt: made.signedUpAt };
      return { user: { ...shown, ...shownParts({ profile, metadata }) } };
    },
  );
  server.patch(
    '/v2/apps/:appId/users/:userId',
    {
      schema: {
        summary: 'Replace the given fields of a user’s profile and metadata',
        tags: ['users'],
        params: UserParameters,
        body: Body,
        response: { 200: Answer },
      },
    },
    async (request, reply) => {
      const app = request.params.appId as AppId;
      const subject = await subjectOfPath(powers.directory, app, request.params.userId);
      const given = readParts(request.body);
      const opening = answers.powersFor(request, powers);
      const merged = await mergeParts(opening, app, { subject, given });
      if (merged.profile !== null || merged.metadata !== null) {
        const { readFrom, profile, metadata } = merged;
        const command = { kind: 'profile', subject, readFrom, profile, metadata } as const;
        const from = { request, answers, powers };
        sendPositions(reply, (await acceptRepeated(from, ingest, app, command)).positions);
      }
      return { user: { ...merged.shown, ...shownParts(merged) } };
    },
  );
}

interface GivenParts {
  readonly profile: Partial<ProfileFields> | undefined;
  readonly metadata: string | undefined;
}

/** The parts that a body gives; fields that it does not name are left out. */
function readParts(body: { profile?: object; metadata?: object }): GivenParts {
  const read = readFields(body, (root) => {
    const profile = root.member('profile');
    const metadata = root.member('metadata');
    const fields = profile.isPresent ? readProfileFields(profile) : undefined;
    const named = Object.entries(fields ?? {}).filter(([name]) => name in (body.profile ?? {}));
    const json = metadata.isPresent ? (metadata.json(METADATA_JSON_MAX) ?? '{}') : undefined;
    return { profile: fields && Object.fromEntries(named), metadata: json };
  });
  if ('problem' in read) {
    throw badRequest(`Expected ${read.problem.expected}`, read.problem.pointer);
  }
  return read.value;
}

async function makeUser(
  repeating: Repeating,
  ingest: Ingest,
  from: { app: AppId; identity: { channel: string; externalId: string } },
) {
  const { powers } = repeating;
  const app = (await powers.apps.find(from.app))!;
  const { directoryWriter, clock } = powers;
  const newcomer = { identity: from.identity };
  const { ids } = await directoryWriter.addSubjects(app, [newcomer], clock.nowMs());
  const [subject] = ids;
  const command = { kind: 'identity', subject: subject!, identity: from.identity } as const;
  const { positions } = await acceptRepeated(repeating, ingest, app.id, command);
  const [entry] = await powers.directory.subjects(app.id, [subject!]);
  if (entry === undefined) throw notFound.userErased();
  const { alias, createdAt } = entry.value;
  return { subject: subject!, alias, signedUpAt: new Date(createdAt).toISOString(), positions };
}

/** Given fields over what is stored: each part of a profile is written whole. */
async function mergeParts(
  powers: IngestPowers,
  app: AppId,
  change: { subject: SubjectId; given: GivenParts },
) {
  await seeOwnWrites(powers);
  const person = (await readPeople(powers, app, [change.subject])).get(change.subject);
  if (person === undefined) throw notFound.userErased();
  const { profile, metadata } = change.given;
  const stored = person.parts.get('profile');
  const storedMetadata = person.parts.get('metadata')?.metadata ?? '{}';
  const { part: _, metadata: __, ...fields } = stored ?? { part: '', metadata: '' };
  const merged = metadata && { ...JSON.parse(storedMetadata), ...JSON.parse(metadata) };
  const json = merged === undefined ? null : JSON.stringify(merged);
  if (json !== null && json.length > METADATA_JSON_MAX) {
    throw badRequest(`Expected at most ${METADATA_JSON_MAX} characters of JSON`, '/metadata');
  }
  const external = person.identities.find((one) => one.channel === USER_CHANNEL);
  return {
    shown: {
      id: person.value.alias,
      ...(external && { externalId: external.externalId }),
      signedUpAt: new Date(person.value.createdAt).toISOString(),
    },
    readFrom: person.value.profilePlace,
    profile: profile === undefined ? null : { ...EMPTY_PROFILE, ...fields, ...profile },
    metadata: json,
  };
}

function shownParts(parts: { profile: ProfileFields | null; metadata: string | null }) {
  const fields = Object.entries(parts.profile ?? {}).filter(([, value]) => value !== null);
  return {
    profile: Object.fromEntries(fields),
    ...(parts.metadata !== null && { metadata: JSON.parse(parts.metadata) }),
  };
}
