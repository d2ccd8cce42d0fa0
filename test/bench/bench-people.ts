/** People of benchmark stores, and what they said, made without the long way through ingest. */

import type { MessageId, SubjectId } from '../../libs/base/ids.ts';
import { randomUuidV7 } from '../../libs/base/random.ts';
import { decodeSealedEvent, type SealedEvent } from '../../libs/codec/sealed-event.ts';
import { readCloudEvent } from '../../libs/conversation/cloud-event.ts';
import { contentCodecs } from '../../libs/conversation/event-types.ts';
import { eventRingRefs, sealEvent } from '../../libs/keyring/event-sealer.ts';
import type { Ring } from '../../libs/keyring/ring.ts';
import { projectRecords } from '../../libs/projection/project.ts';
import type { App } from '../../libs/vault/keys/app-registry.ts';
import type { Backends } from '../../libs/wiring/open-backends.ts';
import { openIngest } from '../../services/ingest/ingest.ts';
import { received } from '../support/events.ts';

const BATCH = 2_000;
const PEOPLE_PER_CALL = 200;

/** Makes people without a word. */
export async function addPeople(
  { backends, app }: { backends: Backends; app: App },
  count: number,
): Promise<SubjectId[]> {
  const { directoryWriter } = backends.ingest();
  const found: SubjectId[] = [];
  for (let i = 0; i < count; i += PEOPLE_PER_CALL) {
    const size = Math.min(PEOPLE_PER_CALL, count - i);
    const newcomers = Array.from({ length: size }, (_, n) => {
      return { identity: { channel: 'bench', externalId: `p-${i + n}` } };
    });
    found.push(...(await directoryWriter.addSubjects(app, newcomers, Date.now())).ids);
  }
  return found;
}

/** Takes in one message of a person and gives it back as it lies on the log. */
export async function firstMessage(
  { backends, app }: { backends: Backends; app: App },
  name: string,
  conversation: object = { type: 'personal' },
): Promise<SealedEvent> {
  const ingest = await openIngest(backends.ingest());
  const read = readCloudEvent(received(name, 'first', { id: name, conversation }), Date.now());
  if ('problem' in read) throw new Error(read.problem.expected);
  const [outcome] = await ingest.accept(app.id, [{ kind: 'delivery', delivery: read.value }]);
  await ingest.close();
  if (outcome?.status !== 'accepted') throw new Error(`the first message: ${outcome?.status}`);
  const { log } = backends.reader();
  let newest: SealedEvent | undefined;
  for (let partition = 0; partition < log.partitions; partition += 1) {
    for (const { value } of await log.read(partition, 0, 100_000)) {
      const event = decodeSealedEvent(value);
      if (event.header.type !== 'MessagePosted') continue;
      const { recordedAt } = event.header;
      if (newest === undefined || recordedAt > newest.header.recordedAt) newest = event;
    }
  }
  return newest!;
}

/** Seals, appends and projects more messages like one; `count` of them. */
export async function addMessages(
  backends: Backends,
  like: SealedEvent,
  count: number,
): Promise<void> {
  const { keyring, randomness, recordingClock } = backends.ingest();
  const { log, views } = backends.projector();
  const generation = await views.generation();
  const clock = await recordingClock();
  const codec = contentCodecs.MessagePosted;
  const text = 'words '.repeat(30);
  const nothing = { content: null, agent: null, authorSubtypes: [], quotedExternalId: null };
  const rest = { metadata: null, purpose: null, source: null, externalId: null };
  const content = codec.encode({ text, ...nothing, ...rest });
  for (let done = 0; done < count; done += BATCH) {
    await clock.keepAhead();
    const size = Math.min(BATCH, count - done);
    const records = await keyring.use(eventRingRefs(like.header), async (rings) => {
      const [app, owner, place] = rings as [Ring, Ring, Ring];
      return Array.from({ length: size }, () => {
        const id = randomUuidV7(randomness, Date.now());
        const thing = id as string as MessageId;
        const draft = { ...like.header, eventId: id, thing, recordedAt: clock.next() };
        const sealed = sealEvent(draft, content, { rings: { app, owner, place }, randomness });
        if (sealed === 'forgotten') throw new Error('a whole ring forgets nothing');
        return sealed;
      });
    });
    const positions = await log.append(records);
    await projectRecords(
      { log, views },
      generation,
      records.map((record, i) => ({ ...record, ...positions[i]! })),
    );
  }
}
