/**
 * What privacy has to know of a kind of request: one file answers it for each kind, and `kinds.ts`
 * lists them. Whatever carries requests out asks here, and knows no kind by name.
 */
import type {
  AnyId,
  AppId,
  ConversationId,
  HoldId,
  OwnerId,
  SubjectId,
} from '../../../libs/base/ids.ts';
import type { EventHeader } from '../../../libs/codec/sealed-event.ts';
import type { RingRef } from '../../../libs/keyring/ring.ts';
import type {
  DayRange,
  RequestKind,
  RequestOf,
  RequestTargets,
} from '../../../libs/requests/request.ts';
import type { PrivacyPowers } from '../../../libs/wiring/powers.ts';
import type { Captures } from './capture.ts';
import type { Run } from './run.ts';

/** Whose words a request takes: a legal hold on one of them refuses it. */
export type TakenFrom =
  | 'nobody'
  | 'everybody'
  /** Everybody's days: who is held keeps what opens their own of them. */
  | { readonly days: DayRange }
  /** Looked up once the views have all that is on the log. */
  | { owners(): Promise<readonly OwnerId[]> };

/** Cached pages that a request leaves unreadable. */
export type StalePages =
  | 'none'
  | 'all'
  | { readonly conversation: ConversationId }
  | { readonly subject: SubjectId };

/** How the events that a request took are known on the log. */
export type LostEvents =
  /** A ring of theirs is a fence that carries the request's id. */
  | { readonly by: 'fence' }
  /** They are the app's. */
  | { readonly by: 'app' }
  /** A hole does not say whose it is: the target, kept until then, does. */
  | { readonly by: 'target' };

/**
 * How a request comes to be carried out. `restored`: it was carried out before, when nothing held
 * it. `uncertain`: it is on the list of erasures, but whether it was carried out or refused is on
 * no record any more: holds count, and it stays listed.
 */
export type Asked = 'asked' | 'restored' | 'uncertain';

/** A target as it is named by whoever asks: the place is looked up. */
export type NamedTarget<Name extends RequestKind> = Omit<RequestTargets[Name], 'place'>;

/** One kind of request. Every method can be repeated after a crash. */
export interface Kind<Name extends RequestKind> {
  /** How many people other than who asked have to approve it before it begins. */
  readonly approvals: number;
  takesFrom(run: Run<Name>): TakenFrom;
  /** Why it is not carried out, whoever has asked for it; holds are looked at beside. */
  refusal?(run: Run<Name>): Promise<string | undefined>;
  /** What is certified when it is done; null: nothing. */
  readonly certificate: CertificateOf<Name> | null;
  /** Takes the key material away. Throws HELD. */
  shred(run: Run<Name>, as: Asked): Promise<void>;
  stalePages(target: RequestTargets[Name]): StalePages;
  /** After T0: tells consumers, and takes names away. */
  finish(run: Run<Name>): Promise<void>;
  /** After all else, also when the app itself is gone by now. */
  end?(powers: PrivacyPowers, request: RequestOf<Name>): Promise<void>;
  readonly lostEvents: LostEvents;
  /** Ids of rings and entries that are gone once it is done, as far as its target names them. */
  ringsEnded?(target: RequestTargets[Name]): readonly AnyId[];
  /** Rings that end as fences, which whoever opens their events later asks for. */
  fences?(app: AppId, target: RequestTargets[Name]): readonly RingRef[];
  /** The hold that it ends: what was kept for it goes with its mark. */
  holdEnded?(target: RequestTargets[Name]): HoldId;
  /** Is something there again beside the rings that `shred` takes? */
  isThereAgain?(run: Run<Name>): Promise<boolean>;
  /** A test for the events that it would take, or took. */
  matcher(
    powers: Pick<PrivacyPowers, 'directory'>,
    app: AppId,
    target: NamedTarget<Name>,
  ): Promise<EventTest>;
}

/** Is this event one of them? */
export type EventTest = (header: EventHeader) => boolean;

/** What a certificate is about. */
export interface CertificateOf<Name extends RequestKind> {
  /** In words, what its commitment is a hash of. */
  readonly commitment: string;
  /** Before the fence: what the attack after T0 is made with. Undefined: there is nobody. */
  capture(run: Run<Name>): Promise<Captures | undefined>;
}

/** The test of a kind whose events are found by fences alone. */
export const matchesNothing = async (): Promise<EventTest> => () => false;
