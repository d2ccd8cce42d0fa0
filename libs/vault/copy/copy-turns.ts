/** The record of turns, as it is: a copy of the vault has the key that authenticates it. */
import type { TurnTable } from '../turn/turn-table.ts';

/** Copies it, with its spare, into a vault that has none. Can be repeated. */
export async function copyTurns(
  from: Pick<TurnTable, 'read' | 'readSpare'>,
  to: Pick<TurnTable, 'replace' | 'writeSpare'>,
): Promise<void> {
  const [row, spare] = [await from.read(), await from.readSpare()];
  if (row !== undefined) await to.replace(undefined, row);
  if (spare !== undefined) await to.writeSpare(spare);
}
