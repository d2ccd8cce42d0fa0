/** From what callers know of a person to the subject: an alias, an external id, an identity. */
import { type Alias, type AppId, type SubjectId, textToId } from '../base/ids.ts';
import { LetheError } from '../base/lethe-error.ts';
import type { KeyringUse } from '../keyring/keyring.ts';
import { ringKinds } from '../sealing/tree-path.ts';
import type { Directory } from '../vault/directory/directory.ts';

/** The channel under which business authors are known; channels of people cannot begin so. */
export const AGENT_CHANNEL = 'lethe:agent';
/** The channel of a user's `externalId` in the REST interface. */
export const USER_CHANNEL = 'lethe:user';

/**
 * The subject behind what a path calls a user, an id or an external id; `erased`: a marker. What
 * is shaped like an id is one: nobody's external id can be.
 */
export async function findUser(
  directory: Directory,
  app: AppId,
  idOrExternalId: string,
): Promise<SubjectId | 'erased' | undefined> {
  const alias = textToId<Alias>(idOrExternalId);
  if (alias !== undefined) return directory.findAlias(app, alias);
  const identity = { channel: USER_CHANNEL, externalId: idOrExternalId };
  return (await directory.findSubjects(app, [identity]))[0];
}

/**
 * A person without an entry was erased; if their ring is there all the same, somebody took the
 * entry away. Throws VAULT_TAMPERED.
 */
export async function assertFenced(
  { keyring }: { keyring: KeyringUse },
  app: AppId,
  subject: SubjectId,
): Promise<void> {
  const ref = { app, kind: ringKinds.owner, id: subject };
  const [isThere] = await keyring.use([ref], async (rings) =>
    rings.map((ring) => ring !== 'erased'),
  );
  if (isThere) throw new LetheError('VAULT_TAMPERED', 'the entry of a person who lives is missing');
}
