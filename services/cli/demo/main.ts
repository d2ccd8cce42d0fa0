/** `npm run demo`: tells the story and ends 0 only if every step was verified. */
import { styleText } from 'node:util';
import { makeSample } from './sample.ts';
import { openStage } from './stage.ts';
import { type Step, tellStory } from './story.ts';

function tell(step: Step, number: number): void {
  const title = styleText('bold', `${number}. ${step.step}`);
  const shown = (step.shown ?? []).map((line) => `     ${line}\n`).join('');
  process.stdout.write(`${title}\n   ${step.said}\n${shown}\n`);
}

async function main(): Promise<void> {
  const isJson = process.argv.includes('--json');
  const started = performance.now();
  const sample = makeSample();
  const stage = await openStage(sample);
  const interrupt = () => {
    void stage.close().finally(() => process.exit(1));
  };
  process.once('SIGINT', interrupt);
  process.once('SIGTERM', interrupt);
  try {
    let number = 0;
    for await (const step of tellStory(stage, sample)) {
      number += 1;
      if (isJson) process.stdout.write(`${JSON.stringify({ ...step, verified: true })}\n`);
      else tell(step, number);
    }
    const seconds = Math.round(performance.now() - started) / 1_000;
    const end = { verified: true, steps: number, seconds };
    const sentence = `Every step was verified, in ${seconds} s; nothing was left behind.\n`;
    process.stdout.write(isJson ? `${JSON.stringify(end)}\n` : sentence);
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error);
    process.stderr.write(`The demo stopped: ${why}\n`);
    process.exitCode = 1;
  } finally {
    await stage.close();
  }
}

await main();
