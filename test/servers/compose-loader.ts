/**
 * The loader behind `docker compose config` (compose-go), which checks a compose file against its
 * specification, without Docker.
 */
import { fetchGo } from './downloads.ts';

/** Brings the program: `[-format json] FILE` prints the file as it is understood, or fails. */
export function fetchComposeLoader(): string {
  return fetchGo('github.com/compose-spec/compose-go/v2/cmd', 'v2.16.2', 'compose-go');
}
