/**
 * Credentials of the attack on our own doors. Each is for one path at one holder of keys, once, for
 * ten seconds. Whoever intercepts one can read nothing with it that the attack did not ask for.
 * Answers carry a code too: one without proves nothing.
 */
import { randomBytes } from 'node:crypto';
import type { AppId } from '../base/ids.ts';
import { sha256 } from '../codec/hash.ts';
import { labels } from '../codec/labels.ts';
import { isSameMac, type StoreMac } from '../keyring/store-mac.ts';

/** One request of the attack. */
export interface AttackRequest {
  readonly app: AppId;
  /** The holder that is asked, by its random id. */
  readonly holder: string;
  /** Path and query, as they are sent. */
  readonly path: string;
}

/** A request that is let in, or was made. */
export interface AttackPass {
  readonly app: AppId;
  /** Random; the answer's code is over it. */
  readonly nonce: string;
}

/** Makes and recognises credentials. Failures: LEASE_LOST, VAULT_UNREACHABLE, VAULT_TAMPERED. */
export interface AttackCredentials {
  issue(
    request: AttackRequest,
    nowMs: number,
  ): Promise<{ readonly authorization: string; readonly nonce: string }>;
  /** Lets a request in, once. Undefined: it is not one of the attack, or not for here and now. */
  recognise(
    authorization: string | undefined,
    asked: { readonly holder: string; readonly path: string; readonly nowMs: number },
  ): Promise<AttackPass | undefined>;
  /** The code of an answer. */
  answerCode(nonce: string, status: number, body: string): Promise<string>;
}

/** The header that an answer's code is in. */
export const ANSWER_HEADER = 'lethe-attack-answer';
const SCHEME = 'Lethe-Attack';
const VALID_MS = 10_000;
const FORM = new RegExp(`^${SCHEME} ([\\w-]+)\\.([0-9a-f]{64})$`);

interface Claims extends AttackRequest {
  readonly untilMs: number;
  readonly nonce: string;
}

/** Opens credentials of a store. Those that were used are remembered until they end. */
export function createAttackCredentials({ mac }: { readonly mac: StoreMac }): AttackCredentials {
  const used = new Map<string, number>();
  const macOf = (text: string) => mac.mac(labels.attack, ['request', text]);

  function isFirst({ nonce, untilMs }: Claims, nowMs: number): boolean {
    for (const [one, endMs] of used) if (endMs < nowMs) used.delete(one);
    if (used.has(nonce)) return false;
    used.set(nonce, untilMs);
    return true;
  }

  return {
    async issue({ app, holder, path }, nowMs) {
      const nonce = randomBytes(16).toString('hex');
      const claims: Claims = { app, holder, path, untilMs: nowMs + VALID_MS, nonce };
      const text = Buffer.from(JSON.stringify(claims)).toString('base64url');
      return { authorization: `${SCHEME} ${text}.${await macOf(text)}`, nonce };
    },
    async recognise(authorization, { holder, path, nowMs }) {
      const [, text, code] = FORM.exec(authorization ?? '') ?? [];
      if (text === undefined || !isSameMac(code!, await macOf(text))) return undefined;
      const claims = JSON.parse(Buffer.from(text, 'base64url').toString()) as Claims;
      const isForHere = claims.holder === holder && claims.path === path;
      if (!isForHere || claims.untilMs < nowMs || claims.untilMs > nowMs + VALID_MS) {
        return undefined;
      }
      return isFirst(claims, nowMs) ? { app: claims.app, nonce: claims.nonce } : undefined;
    },
    answerCode: (nonce, status, body) =>
      mac.mac(labels.attack, ['answer', nonce, String(status), sha256(Buffer.from(body))]),
  };
}
