/** Users of the REST interface: create and update. */
import { Type } from 'typebox';
import { type AppId, isId } from '../../../libs/base/ids.ts';
import { readProfileFields } from '../../../libs/conversation/cloud-event.ts';
import type { ProfileFields } from '../../../libs/conversation/delivery.ts';
import {
  foldProfile,
  METADATA_JSON_MAX,
  mergeProfile,
} from '../../../libs/conversation/field-fold.ts';
import { readFields } from '../../../libs/conversation/field-reader.ts';
import { answers as answered } from '../../../libs/http/answers.ts';
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
import { personToUser, readPeople } from '../../../libs/people/people.ts';
import type { IngestPowers } from '../../../libs/wiring/powers.ts';
import type { Ingest } from '../ingest.ts';
import { acceptRepeated, type Repeating } from './accept-one.ts';
import { seeOwnWrites } from './see-own-writes.ts';

const Body = Type.Object({
  externalId: Type.Optional(Type.String({ minLength: 1, maxLength: 512 })),
  signedUpAt: Type.Optional(Type.String()),
  profile: Type.Optional(Type.Object({})),
  metadata: Type.Optional(Type.Object({})),
});

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
        response: { 201: answered.user },
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
      const command = { kind: 'profile', subject: made.subject, ...given } as const;
      const positions = isEmpty(given)
        ? []
        : (await acceptRepeated(from, ingest, app, command)).positions;
      await sendPositions(reply, powers.cursors, app, [...made.positions, ...positions]);
      reply.status(201);
      const profile = mergeProfile(foldProfile([]), given);
      return { user: personToUser({ ...made, profile, identities: [identity] }) };
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
        response: { 200: answered.user },
      },
    },
    async (request, reply) => {
      const app = request.params.appId as AppId;
      const subject = await subjectOfPath(powers.directory, app, request.params.userId);
      const given = readParts(request.body);
      const opening = answers.powersFor(request, powers);
      const from = { request, answers, powers };
      await seeOwnWrites(powers);
      const person = (await readPeople(opening, app, [subject])).get(subject);
      if (person === undefined) throw notFound.userErased();
      if (!isEmpty(given)) {
        const command = { kind: 'profile', subject, ...given } as const;
        const { positions } = await acceptRepeated(from, ingest, app, command);
        await sendPositions(reply, powers.cursors, app, positions);
      }
      return { user: personToUser({ ...person, profile: mergeProfile(person.profile, given) }) };
    },
  );
}

/** What a body gives of a profile: its fields, and JSON of its metadata. */
interface GivenParts {
  readonly profile: Partial<ProfileFields>;
  readonly metadata: string;
}

const isEmpty = ({ profile, metadata }: GivenParts) =>
  Object.keys(profile).length === 0 && metadata === '{}';

function readParts(body: { profile?: object; metadata?: object }): GivenParts {
  const read = readFields(body, (root) => {
    const profile = root.member('profile');
    const metadata = root.member('metadata');
    return {
      profile: profile.isPresent ? readProfileFields(profile) : {},
      metadata: (metadata.isPresent ? metadata.json(METADATA_JSON_MAX) : null) ?? '{}',
    };
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
  return { subject: subject!, value: entry.value, positions };
}
