/** `lethe show event`: one event of the log, by its own id or (for messages) by the message's. */

import type { ReaderPowers } from '../../libs/backends/powers.ts';
import type { AppId } from '../../libs/base/ids.ts';
import { decodeSealedEvent, type SealedEvent } from '../../libs/codec/sealed-event.ts';
import { openContents } from '../../libs/people/open-content.ts';
import { CommandEnd, createProgress, exitCodes, printResult } from './terminal.ts';

const PAGE_RECORDS = 2_000;

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
  const [opened] = await openContents(powers, [event]);
  // The owner is a subject id, and so is the stream of a person's own facts: neither leaves the
  // store.
  const { owner: _, stream, ...header } = event.header;
  const isPersonal =
    event.header.type === 'ProfileUpdated' || event.header.type === 'IdentityLinked';
  const shown = { ...header, ...(isPersonal ? {} : { stream }) };
  const content = opened?.content === undefined ? null : withoutSubjects(opened.content);
  const lines = [JSON.stringify(shown, null, 2), content === null ? '[deleted]' : ''];
  if (content !== null) lines.push(JSON.stringify(content, null, 2));
  printResult(query.json, { header: shown, content }, lines);
  if (content === null) process.exitCode = exitCodes.erased;
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
  let found: SealedEvent | undefined;
  for (let partition = 0; partition < log.partitions && found === undefined; partition += 1) {
    for (let next = 0; found === undefined; ) {
      const records = await log.read(partition, next, PAGE_RECORDS);
      const last = records.at(-1);
      if (last === undefined) break;
      // Bytes 16 to 31 of a record's key are the event id.
      const record = records.find(({ key }) => key.toString('hex', 16, 32) === query.event);
      found = record && decodeSealedEvent(record.value);
      next = last.offset + 1;
      count += records.length;
      progress.show(`${count} events looked at`);
    }
  }
  progress.clear();
  return found;
}
