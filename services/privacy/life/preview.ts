/**
 * Counts what a request would take, before it is made. Nothing is opened, nothing is changed; what
 * nobody can open any more is taken already.
 */

import type { AppId, MessageId } from '../../../libs/base/ids.ts';
import { isLetheError } from '../../../libs/base/lethe-error.ts';
import { decodeSealedEvent, type EventHeader } from '../../../libs/codec/sealed-event.ts';
import { useEventRings } from '../../../libs/keyring/event-rings.ts';
import { isKeyForgotten } from '../../../libs/keyring/event-sealer.ts';
import { lookPastDamage } from '../../../libs/keyring/past-damage.ts';
import { recordsBehind } from '../../../libs/projection/views-behind.ts';
import type { RequestKind } from '../../../libs/requests/request.ts';
import { shareLeaf } from '../../../libs/sealing/tree-path.ts';
import type { PrivacyPowers } from '../../../libs/wiring/powers.ts';
import type { NamedTarget } from '../kinds/kind.ts';
import { kindOf } from '../kinds/kinds.ts';

/** What a request would take. */
export interface Preview {
  /** Events by type that would not open any more. */
  readonly events: Readonly<Record<string, number>>;
  /** Messages among them, by whole conversations or not. */
  readonly messages: number;
  readonly conversations: number;
  readonly people: number;
  /** Other messages whose key lies at the same leaf: they would go too, so the run is refused. */
  readonly neighbours: readonly string[];
  /** Records of the log that the views have not yet: of those nothing is counted. */
  readonly behind: number;
}

const PAGE_EVENTS = 500;

/** What a preview is of: a request that is not made. */
interface Wanted<Name extends RequestKind> {
  readonly kind: Name;
  readonly target: NamedTarget<Name>;
}

type Powers = Pick<PrivacyPowers, 'views' | 'directory' | 'keyring' | 'log'>;

/** Looks at every record of the views. Throws VIEWS_UNREACHABLE, VAULT_UNREACHABLE. */
export async function previewLoss<Name extends RequestKind>(
  powers: Powers,
  app: AppId,
  wanted: Wanted<Name>,
): Promise<Preview> {
  return (await previewLosses(powers, app, [wanted]))[0]!;
}

/** Of several requests by themselves, in their order; all records are looked at once. */
export async function previewLosses<Name extends RequestKind>(
  powers: Powers,
  app: AppId,
  wanted: readonly Wanted<Name>[],
): Promise<Preview[]> {
  const behind = await recordsBehind(powers);
  const tallies: Tally[] = [];
  for (const one of wanted) tallies.push(await beginTally(powers, app, one));
  let page: EventHeader[] = [];
  const count = async () => {
    for (const header of await openStill(powers.keyring, page)) {
      for (const tally of tallies) tally.count(header);
    }
    page = [];
  };
  for await (const record of powers.views.scanRecords()) {
    const header = readHeader(record);
    if (header === undefined || header.app !== app) continue;
    if (tallies.some((tally) => tally.concerns(header))) page.push(header);
    if (page.length >= PAGE_EVENTS) await count();
  }
  await count();
  return tallies.map((tally) => ({ ...tally.counted(), behind }));
}

/** What one request would take, as it is counted. */
interface Tally {
  concerns(header: EventHeader): boolean;
  count(header: EventHeader): void;
  counted(): Omit<Preview, 'behind'>;
}

async function beginTally<Name extends RequestKind>(
  powers: Powers,
  app: AppId,
  { kind, target }: Wanted<Name>,
): Promise<Tally> {
  const matches = await kindOf(kind).matcher(powers, app, target);
  const message = 'message' in target ? (target.message as MessageId) : undefined;
  const place = message && (await placeOf(powers, message));
  const events: Record<string, number> = {};
  const messages = new Set<string>();
  const conversations = new Set<string>();
  const people = new Set<string>();
  const neighbours = new Set<string>();
  return {
    concerns: (header) => matches(header) || (message !== undefined && header.place === place),
    count(header) {
      const isOther = header.place === place && header.thing !== message;
      const isNear = message !== undefined && isOther && shareLeaf(header.thing, message);
      if (isNear) neighbours.add(header.thing);
      if (!matches(header)) return;
      events[header.type] = (events[header.type] ?? 0) + 1;
      if (header.type === 'MessagePosted') {
        messages.add(header.thing);
        conversations.add(header.stream);
      }
      if (header.ownerKind === 'person') people.add(header.owner);
    },
    counted: () => ({
      events,
      messages: messages.size,
      conversations: conversations.size,
      people: people.size,
      neighbours: [...neighbours],
    }),
  };
}

/** Those of which there is a key. What lies under damaged rings counts: it would go as well. */
function openStill(
  keyring: PrivacyPowers['keyring'],
  headers: readonly EventHeader[],
): Promise<readonly EventHeader[]> {
  return lookPastDamage(
    headers,
    (part) =>
      useEventRings(keyring, part, async (ringsOf) =>
        part.filter((header) => {
          const { whole } = ringsOf(header);
          return whole !== undefined && !isKeyForgotten(header, whole);
        }),
      ),
    (header) => [header],
  );
}

function readHeader(record: Buffer): EventHeader | undefined {
  try {
    return decodeSealedEvent(record).header;
  } catch (error) {
    if (isLetheError(error)) return undefined;
    throw error;
  }
}

async function placeOf({ views }: Pick<PrivacyPowers, 'views'>, message: MessageId) {
  const view = await views.message(message);
  return view && decodeSealedEvent(view.record).header.place;
}
