/**
 * DSSE envelopes (Dead Simple Signing Envelope, protocol v1.0.2) with Ed25519 signatures (RFC 8032)
 * around in-toto statements (in-toto attestation framework, Statement v1). Pure.
 */
import { createPublicKey, type KeyObject, sign, verify } from 'node:crypto';
import { LetheError } from '../base/lethe-error.ts';
import { sha256 } from '../codec/hash.ts';

export interface Envelope {
  readonly payloadType: string;
  /** Base64 of the statement's bytes. */
  readonly payload: string;
  readonly signatures: readonly { readonly keyid: string; readonly sig: string }[];
}

/** An in-toto statement: what is claimed of which artefact. */
export interface Statement {
  readonly _type: 'https://in-toto.io/Statement/v1';
  readonly subject: readonly { name: string; digest: { sha256: string } }[];
  readonly predicateType: string;
  readonly predicate: Readonly<Record<string, unknown>>;
}

const SIGNATURE_BYTES = 64;
const PAYLOAD_TYPE = 'application/vnd.in-toto+json';

/** PAE(type, body): what is signed, so that no part can be taken for another. */
function preAuthentication(type: string, body: Buffer): Buffer {
  const head = `DSSEv1 ${Buffer.byteLength(type)} ${type} ${body.length} `;
  return Buffer.concat([Buffer.from(head), body]);
}

/** The id of a public key: SHA-256 of its DER form, in hex. */
export function keyIdOf(publicKey: KeyObject): string {
  return sha256(publicKey.export({ type: 'spki', format: 'der' })).toString('hex');
}

/** Signs a statement with an Ed25519 private key. */
export function signStatement(statement: Statement, privateKey: KeyObject): Envelope {
  const body = Buffer.from(JSON.stringify(statement));
  const sig = sign(null, preAuthentication(PAYLOAD_TYPE, body), privateKey).toString('base64');
  const keyid = keyIdOf(createPublicKey(privateKey));
  return {
    payloadType: PAYLOAD_TYPE,
    payload: body.toString('base64'),
    signatures: [{ keyid, sig }],
  };
}

/**
 * The statement of an envelope, if one of its signatures is by this key. Whatever key the envelope
 * names or holds counts for nothing. Throws CERTIFICATE_INVALID.
 */
export function openEnvelope(text: string, publicKey: KeyObject): Statement {
  if (publicKey.asymmetricKeyType !== 'ed25519') throw invalid('the key is no Ed25519 key');
  const envelope = parse<Partial<Envelope> | null>(text, 'it is no DSSE envelope');
  const { payload, payloadType, signatures } = envelope ?? {};
  if (typeof payload !== 'string' || !Array.isArray(signatures)) {
    throw invalid('it is no DSSE envelope');
  }
  if (payloadType !== PAYLOAD_TYPE) throw invalid('its payload is no in-toto statement');
  const body = fromBase64(payload);
  if (body === undefined) throw invalid('its payload is not canonical base64');
  const signed = preAuthentication(payloadType, body);
  const isBy = (one: { sig?: unknown } | null) => {
    const sig = one?.sig;
    const bytes = typeof sig === 'string' ? fromBase64(sig) : undefined;
    return bytes?.length === SIGNATURE_BYTES && verify(null, signed, publicKey, bytes);
  };
  if (!signatures.some(isBy)) throw invalid(notBy(signatures, keyIdOf(publicKey)));
  const statement = parse<Statement | null>(body.toString('utf8'), 'its statement is not JSON');
  if (!isStatement(statement)) throw invalid('it is no statement');
  return statement;
}

/** A signature names the key that it is said to be by. */
function notBy(signatures: readonly ({ keyid?: unknown } | null)[], given: string): string {
  const named = signatures.map((one) => one?.keyid).filter((id) => typeof id === 'string');
  if (named.length === 0 || named.includes(given)) return 'no signature of it is by this key';
  const by = named.join(', ').slice(0, 200);
  return `it says that it was signed with the key ${by}, and the given one is ${given}`;
}

function isStatement(given: Statement | null): given is Statement {
  const isSubject = (one: Statement['subject'][number] | null) =>
    typeof one?.name === 'string' && typeof one.digest?.sha256 === 'string';
  return (
    given?._type === 'https://in-toto.io/Statement/v1' &&
    Array.isArray(given.subject) &&
    given.subject.every(isSubject) &&
    typeof given.predicateType === 'string' &&
    typeof given.predicate === 'object' &&
    given.predicate !== null
  );
}

/** Bits that base64 leaves unused, or letters beside its own, would let bytes be changed unseen. */
function fromBase64(text: string): Buffer | undefined {
  const bytes = Buffer.from(text, 'base64');
  return bytes.toString('base64') === text ? bytes : undefined;
}

function parse<Value>(text: string, problem: string): Value {
  try {
    return JSON.parse(text) as Value;
  } catch {
    throw invalid(problem);
  }
}

function invalid(why: string): LetheError {
  return new LetheError('CERTIFICATE_INVALID', `this certificate does not hold: ${why}`);
}
