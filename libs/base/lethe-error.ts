/**
 * The one error class. Outcomes (erased, forgotten, not found, version conflict) are values; what
 * is thrown is a failure of the world or of the caller. Messages hold no personal data.
 */

/** The closed set of failures; each is named for its condition. */
export type ErrorCode =
  | 'CONFIGURATION_INVALID'
  | 'ROOT_KMS_DENIED'
  | 'ROOT_KMS_UNREACHABLE'
  | 'VAULT_UNREACHABLE'
  | 'VAULT_TAMPERED'
  | 'LOG_UNREACHABLE'
  | 'VIEWS_UNREACHABLE'
  | 'STATE_UNREACHABLE'
  | 'BLOBS_UNREACHABLE'
  | 'STORE_FULL'
  | 'FORMAT_UNKNOWN'
  | 'EVENT_TAMPERED'
  | 'SEGMENT_MISSING'
  | 'INPUT_INVALID'
  | 'CERTIFICATE_INVALID'
  | 'BACKUP_UNUSABLE'
  | 'NAME_TAKEN'
  | 'ERASURE_UNVERIFIED'
  | 'ERASURES_TAMPERED'
  | 'HELD'
  | 'APPROVAL_MISSING'
  | 'CONTENDED'
  | 'LEASE_LOST'
  | 'OVERLOADED'
  | 'SHUTTING_DOWN'
  | 'INVARIANT_BROKEN';

/** A failure with a code that programs can branch on and a sentence that people can act on. */
export class LetheError extends Error {
  readonly code: ErrorCode;
  /** True when the same call may succeed later without any change by the caller. */
  readonly retryable: boolean;

  constructor(
    code: ErrorCode,
    message: string,
    options: { retryable?: boolean; cause?: unknown } = {},
  ) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.name = 'LetheError';
    this.code = code;
    this.retryable = options.retryable ?? false;
  }
}

/** Is this a LetheError, and (if given) one of that code? */
export function isLetheError(error: unknown, code?: ErrorCode): error is LetheError {
  return error instanceof LetheError && (code === undefined || error.code === code);
}

/** Why an event cannot be opened though its keys live. */
export type UnreadableCode = 'EVENT_TAMPERED' | 'FORMAT_UNKNOWN';

/** Was an event changed from outside, or written by a newer version? Others can be read. */
export function isUnreadable(error: unknown): error is LetheError & { code: UnreadableCode } {
  return isLetheError(error, 'EVENT_TAMPERED') || isLetheError(error, 'FORMAT_UNKNOWN');
}
