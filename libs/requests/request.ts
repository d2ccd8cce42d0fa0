/**
 * What a privacy request is: its kind with the target that belongs to it, the steps it goes through
 * and, once it is done, its afterlife. Targets name random ids only, and are kept as JSON in this
 * form. A new kind is named here first; the compiler then asks for what privacy has to know of it.
 */
import type {
  AppId,
  ConversationId,
  HoldId,
  LossId,
  MessageId,
  PlaceId,
  RequestId,
  SubjectId,
} from '../base/ids.ts';

/** Days counted from 1970-01-01 (UTC), both included. */
export interface DayRange {
  readonly fromDay: number;
  readonly toDay: number;
}

/** What a request of each kind is about. */
export interface RequestTargets {
  /** `merged`: whoever they were merged with when it was asked; they go too. */
  'erase-subject': { readonly subject: SubjectId; readonly merged?: readonly SubjectId[] };
  /** `place`: the one that was current when it was asked; a repeated clear takes no newer one. */
  'clear-profile': { readonly subject: SubjectId; readonly place: PlaceId };
  /** Without a place: the one that the conversation's messages have when it is carried out. */
  'forget-message': {
    readonly conversation: ConversationId;
    readonly message: MessageId;
    readonly place: PlaceId;
  };
  'forget-attachment': {
    readonly conversation: ConversationId;
    readonly message: MessageId;
    readonly attachment: string;
    readonly place: PlaceId;
  };
  'clear-conversation': { readonly conversation: ConversationId; readonly place: PlaceId };
  /** `places`: its own when it was asked, so that they are known when its entry is gone. */
  'delete-conversation': {
    readonly conversation: ConversationId;
    readonly places?: readonly PlaceId[];
  };
  /** Without a subject, everybody's; without a retention class, of every class that ages. */
  'forget-days': DayRange & { readonly subject?: SubjectId; readonly retentionClass?: number };
  'erase-app': Nothing;
  /** What was kept for a hold goes with it. */
  'release-hold': { readonly subject: SubjectId; readonly hold: HoldId };
  /** `subject` turns out to be `other`. */
  'merge-subjects': { readonly subject: SubjectId; readonly other: SubjectId };
}

/** A target that names nothing, or that was forgotten. */
export type Nothing = Readonly<Record<string, never>>;

/** The name of a kind, as it is kept. */
export type RequestKind = keyof RequestTargets;

/**
 * The steps of a request in their order. `received`: nobody began it. `begun`: holds are being
 * looked at. `shred`: key material goes. `finish`: T0 was reached; names go and consumers are told.
 */
export const requestSteps = ['received', 'begun', 'shred', 'finish', 'done'] as const;
export type RequestStep = (typeof requestSteps)[number];
/** A step of a request that is under way. */
export type OpenStep = Exclude<RequestStep, 'done'>;

/** A request of one kind that is not done. */
export interface RequestOf<Kind extends RequestKind> {
  /** What is told of it, signed, and written on the log. */
  readonly id: RequestId;
  /** The id in every fence that it makes: what is told of the request leads to no row. */
  readonly loss: LossId;
  readonly app: AppId;
  readonly kind: Kind;
  readonly target: RequestTargets[Kind];
  /** The step that runs, or ran last. */
  readonly step: OpenStep;
  /** Milliseconds since 1970, as are all times here. */
  readonly receivedAtMs: number;
  readonly changedAtMs: number;
}

/** A request that is not done. */
export type PrivacyRequest = { [Kind in RequestKind]: RequestOf<Kind> }[RequestKind];

/** A request that is done: what it was about is forgotten. */
export interface DoneRequest {
  readonly id: RequestId;
  readonly app: AppId;
  readonly kind: RequestKind;
  readonly target: Nothing;
  readonly step: 'done';
  readonly receivedAtMs: number;
  readonly changedAtMs: number;
}

/** What has come, after a request was done, of what it took. */
export interface AfterlifeOf<Kind extends RequestKind> {
  readonly id: RequestId;
  /** The id in its fences, until its events are reclaimed: they are known by these. */
  readonly loss: LossId | null;
  readonly app: AppId;
  readonly kind: Kind;
  /** Of kinds that leave a hole, until its events are reclaimed: a hole names nobody. */
  readonly target: RequestTargets[Kind] | Nothing;
  readonly doneAtMs: number;
  /** The newest turn that had begun when the last of it was written: later ones cover it. */
  readonly afterTurn: number;
  /** When the old KMS key was gone; null: not yet. */
  readonly t1AtMs: number | null;
  /** When its events were removed from log and views; null: not yet. */
  readonly reclaimedAtMs: number | null;
}

/** The afterlife of a request of any kind. */
export type Afterlife = { [Kind in RequestKind]: AfterlifeOf<Kind> }[RequestKind];

/** A request or an afterlife as it is kept: with the code of who holds the store's key. */
export type Signed<Kept> = Kept & { readonly code: string };
