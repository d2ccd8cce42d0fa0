/** `lethe show event`: one event of the log, by its own id or (for messages) by the message's. */

import type { AppId } from '../../../libs/base/ids.ts';
import { decodeSealedEvent, type SealedEvent } from '../../../libs/codec/sealed-event.ts';
import { isTombstone, type PlacedRecord } from '../../../libs/event-log/event-log.ts';
import { readLog } from '../../../libs/event-log/read-log.ts';
import { openContents } from '../../../libs/people/open-content.ts';
import type { ReaderPowers } from '../../../libs/wiring/powers.ts';
import { showOpened } from '../handed-output.ts';
import { CommandEnd, createProgress, exitCodes, resultText } from '../terminal.ts';

/** Shows header and content; exit code 4 when the content is gone. */
export async function showEvent(
  powers: ReaderPowers,
  app: AppId,
  query: { event: string; json: boolean },
): Promise<void> {
  const event = await findEvent(powers, query);
  if (event === undefined || event.header.app !== app) {
    throw new CommandEnd(exitCodes.notFound, 'there is no such event');
  }
  let isGone = false;
  await showOpened(powers, async (own) => {
    const [opened] = await openContents(own, [event]);
    isGone = opened?.content === undefined;
    return textOf(event, opened?.content, query.json);
  });
  if (isGone) process.exitCode = exitCodes.erased;
}

function textOf(event: SealedEvent, opened: object | undefined, isJson: boolean): string {
  // The owner is a subject id, and so is the stream of a person's own facts: neither leaves the
  // store.
  const { owner: _, stream, ...header } = event.header;
  const isPersonal =
    event.header.type === 'ProfileUpdated' || event.header.type === 'IdentityLinked';
  const shown = { ...header, ...(isPersonal ? {} : { stream }) };
  const content = opened === undefined ? null : withoutSubjects(opened);
  const lines = [JSON.stringify(shown, null, 2), content === null ? '[deleted]' : ''];
  if (content !== null) lines.push(JSON.stringify(content, null, 2));
  return resultText(isJson, { header: shown, content }, lines);
}

/** Content names agents and editors by subject id. */
function withoutSubjects(content: object): object {
  const names = Object.entries(content).filter(([name]) => name !== 'agent' && name !== 'editor');
  return Object.fromEntries(names);
}

/** The views know messages by their id; every other event is looked for on the log. */
async function findEvent(
  { views, log }: ReaderPowers,
  query: { event: string; json: boolean },
): Promise<SealedEvent | undefined> {
  const view = await views.message(query.event);
  if (view !== undefined) return decodeSealedEvent(view.record);
  const progress = createProgress(query.json);
  let count = 0;
  try {
    for await (const records of readLog(log)) {
      // Bytes 16 to 31 of a record's key are the event id.
      const isIt = ({ key }: PlacedRecord) => key.toString('hex', 16, 32) === query.event;
      const record = records.find((one) => isIt(one) && !isTombstone(one));
      if (record !== undefined) return decodeSealedEvent(record.value);
      count += records.length;
      progress.show(`${count} events looked at`);
    }
    return undefined;
  } finally {
    progress.clear();
  }
}
