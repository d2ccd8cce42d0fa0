/** The gate that every request passes before holds are looked at, whatever door it came by. */
import { LetheError } from '../../../libs/base/lethe-error.ts';
import { kindOf } from '../kinds/kinds.ts';
import type { Run } from '../kinds/run.ts';

/**
 * Lets through what has the approvals that its kind needs. No door records an approval yet, so a
 * kind that needs one does not begin. Throws APPROVAL_MISSING; the request stays open.
 */
export function assertApproved({ request }: Run): void {
  const needed = kindOf(request.kind).approvals;
  if (needed === 0) return;
  throw new LetheError('APPROVAL_MISSING', `this request waits for ${needed} approvals`);
}
