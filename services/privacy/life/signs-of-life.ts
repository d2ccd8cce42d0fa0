/**
 * While requests are carried out, their rows are written again and again: whoever looks for those
 * that a crash interrupted leaves them alone, however long the wait for T0 takes.
 */
import type { OpenStep, PrivacyRequest } from '../../../libs/requests/request.ts';
import type { PrivacyPowers } from '../../../libs/wiring/powers.ts';

const SIGN_INTERVAL_MS = 1_000;

/** Signs of requests that one process carries out. */
export interface SignsOfLife {
  /** Records a step; false: the request is not there any more. */
  step(request: PrivacyRequest, step: OpenStep): Promise<boolean>;
  /** No more signs of this one. */
  done(request: PrivacyRequest): void;
  /** No more signs; resolves when none is being written. */
  end(): Promise<void>;
}

/** Begins to give signs of these requests. */
export function giveSigns(
  { requests, clock }: Pick<PrivacyPowers, 'requests' | 'clock'>,
  of: readonly PrivacyRequest[],
): SignsOfLife {
  // What nobody has begun may be begun by anybody.
  const begun = of.filter(({ step }) => step !== 'received');
  const steps = new Map(begun.map((request) => [request, request.step]));
  const written = new Map<PrivacyRequest, Promise<unknown>>();
  const busy = new Set<PrivacyRequest>();

  /** One after the other: a sign must not write an older step over a newer one. */
  function record(request: PrivacyRequest, step: OpenStep): Promise<boolean> {
    const before = written.get(request) ?? Promise.resolve();
    const writing = before.then(() => requests.record(request, step, clock.nowMs()));
    written.set(
      request,
      writing.catch(() => undefined),
    );
    return writing;
  }

  async function sign(request: PrivacyRequest, step: OpenStep): Promise<void> {
    if (busy.has(request)) return;
    busy.add(request);
    // One that cannot be written is no failure: others may take the request over, and repeat it.
    await record(request, step).catch(() => undefined);
    busy.delete(request);
  }

  const timer = setInterval(() => {
    for (const [request, step] of steps) void sign(request, step);
  }, SIGN_INTERVAL_MS);
  return {
    async step(request, step) {
      steps.set(request, step);
      return record(request, step);
    },
    done: (request) => void steps.delete(request),
    async end() {
      clearInterval(timer);
      await Promise.all(written.values());
    },
  };
}
