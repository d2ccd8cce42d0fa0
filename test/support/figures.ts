/** What drills measured: printed, and collected for `npm run drills -- --json`. */
import { appendFileSync } from 'node:fs';

/** Records figures under a name. */
export function recordFigures(name: string, figures: unknown): void {
  console.log(`${name}: ${JSON.stringify(figures)}`);
  const file = process.env.DRILL_FIGURES;
  if (file !== undefined) appendFileSync(file, `${JSON.stringify({ name, figures })}\n`);
}
