/** From what callers know of a person to the subject: an alias, an external id, an identity. */
import { type Alias, type AppId, type SubjectId, textToId } from '../base/ids.ts';
import { LetheError } from '../base/lethe-error.ts';
import type { KeyringUse } from '../keyring/keyring.ts';
import { ringKinds } from '../sealing/tree-path.ts';
import type { Directory } from '../vault/directory/directory.ts';
import { rowKinds } from '../vault/rows/vault-store.ts';

/** The channel under which business authors are known; channels of people cannot begin so. */
export const AGENT_CHANNEL = 'lethe:agent';
/** The channel of a user's `externalId` in the REST interface. */
export const USER_CHANNEL = 'lethe:user';

/** Who it is; `erased`: the marker of somebody who is gone; undefined: nobody. */
export type SubjectOutcome = SubjectId | 'erased' | undefined;

/** The subject that an alias (a REST user id) names. */
export async function findAlias(
  directory: Directory,
  app: AppId,
  alias: Alias,
): Promise<SubjectOutcome> {
  const row = (await directory.names(app)).alias(alias);
  const [found] = await directory.references(app, rowKinds.alias, [row]);
  return found as SubjectOutcome;
}

/** The subject that a channel-side name leads to. */
export async function findIdentity(
  directory: Directory,
  app: AppId,
  identity: { channel: string; externalId: string },
): Promise<SubjectId | undefined> {
  const names = await directory.names(app);
  const row = names.identity(identity.channel, identity.externalId);
  const [found] = await directory.references(app, rowKinds.identity, [row]);
  return found === 'erased' ? undefined : (found as SubjectId | undefined);
}

/** The subject behind what a path calls a user: an id or an external id. */
export async function findUser(
  directory: Directory,
  app: AppId,
  idOrExternalId: string,
): Promise<SubjectOutcome> {
  const alias = textToId<Alias>(idOrExternalId);
  const found = alias === undefined ? undefined : await findAlias(directory, app, alias);
  if (found !== undefined) return found;
  return findIdentity(directory, app, { channel: USER_CHANNEL, externalId: idOrExternalId });
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
