/** People who are known by an identity that is near another one, on any channel. */
import type { AppId } from '../../libs/base/ids.ts';
import { readPeople } from '../../libs/people/people.ts';
import { areNear } from '../../libs/people/spellings.ts';
import type { ReaderPowers } from '../../libs/wiring/powers.ts';

const PEOPLE_PER_READ = 200;

/** Somebody who may be meant. */
export interface NearPerson {
  /** The user id. */
  readonly subjectId: string;
  readonly channel: string;
  readonly externalId: string;
  readonly displayName: string | null;
}

/**
 * Looks at everybody in the app. Identities are kept as HMACs of their exact spelling: nothing else
 * tells who is known by another one.
 */
export async function findNear(
  powers: ReaderPowers,
  app: AppId,
  identity: string,
  onProgress: (looked: number) => void,
): Promise<NearPerson[]> {
  const found: NearPerson[] = [];
  let looked = 0;
  for (let before: string | undefined; ; ) {
    const page = { limit: PEOPLE_PER_READ, ...(before !== undefined && { before }) };
    const views = await powers.views.people(app, page);
    const ids = views.map(({ subject }) => subject);
    for (const person of (await readPeople(powers, app, ids)).values()) {
      const { displayName, value, identities } = person;
      for (const { channel, externalId } of identities) {
        if (!areNear(externalId, identity)) continue;
        found.push({ subjectId: value.alias, channel, externalId, displayName });
      }
    }
    looked += views.length;
    onProgress(looked);
    before = views.at(-1)?.since;
    if (views.length < PEOPLE_PER_READ) return found;
  }
}
