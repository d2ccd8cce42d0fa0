/** A change of some fields reads the others first, and must see what was written a moment ago. */

import { HttpError } from '../../../libs/http/http-error.ts';
import { lastPositions, waitForViews } from '../../../libs/projection/views-behind.ts';
import type { IngestPowers } from '../../../libs/wiring/powers.ts';

const VIEWS_TIMEOUT_MS = 2_000;

/** Waits until the views have all that is on the log now. Throws 503 `views_behind`. */
export async function seeOwnWrites(powers: IngestPowers): Promise<void> {
  if (await waitForViews(powers, await lastPositions(powers.log), VIEWS_TIMEOUT_MS)) return;
  const title = 'The views are not there yet';
  throw new HttpError(503, 'views_behind', title, { retryAfterSeconds: 1 });
}
