/** A row that a turn cannot wrap anew, as something else writes it, or its time lies ahead. */
import { LetheError } from '../../base/lethe-error.ts';
import { type RowKey, rowInWords } from '../rows/vault-store.ts';

/** Says which row keeps its old key, and what to do. The key is not ended meanwhile. */
export function keptRow(row: RowKey): LetheError {
  const advice =
    'nothing of it is lost: run the turn again. Where it says so again, somebody wrote the row ' +
    'with a time of writing that lies ahead: it gives way when that time has come, or in a store ' +
    'that is restored';
  const text = `${rowInWords(row)} is still under a key that is to end`;
  return new LetheError('CONTENDED', `${text}; ${advice}`, { retryable: true });
}
