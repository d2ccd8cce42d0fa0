import { createReadStream } from 'node:fs';
import { createInterface } from 'node:readline';
import { createGunzip } from 'node:zlib';
import { describe, expect, it } from 'vitest';
import type { AppId, ConversationId } from '../../libs/base/ids.ts';
import type { IdentityName } from '../../libs/vault/directory/directory.ts';
import { recordFigures } from '../support/figures.ts';
import { lethe } from '../support/processes.ts';
import { textsOf } from '../support/reading.ts';
import { inputFiles } from '../support/real-input.ts';
import { openAt, type TestStore, temporaryFolder } from '../support/temporary-store.ts';

interface Line {
  source: string;
  data: {
    conversation: { type: string; externalId: string };
    author: { identity?: IdentityName };
    recipients?: { identity: IdentityName }[];
    content: { text: string };
  };
}

/** The texts of each conversation, in the order of the file. */
async function textsOfFile(file: string): Promise<Map<string, string[]>> {
  const raw = createReadStream(file);
  const lines = createInterface({ input: file.endsWith('.gz') ? raw.pipe(createGunzip()) : raw });
  const texts = new Map<string, string[]>();
  for await (const text of lines) {
    const line = JSON.parse(text) as Line;
    const { conversation, author, recipients } = line.data;
    const person = author.identity ?? recipients?.[0]?.identity;
    const of = conversation.type === 'personal' ? person : undefined;
    const name = JSON.stringify([line.source, conversation.externalId, of]);
    texts.set(name, [...(texts.get(name)?.splice(0) ?? []), line.data.content.text]);
  }
  return texts;
}

/** A group, or a person's conversation of this name. */
async function conversationOf(
  store: TestStore,
  { source, externalId, of }: { source: string; externalId: string; of: IdentityName | null },
): Promise<ConversationId> {
  const { directory } = store.backends.reader();
  const [person = null] = of === null ? [] : await directory.findSubjects(store.app.id, [of]);
  const name = { source, externalId, person };
  return (await directory.findConversations(store.app.id, [name]))[0]!;
}

describe('real conversations', () => {
  it('go in, are all in the views, in the order of the file, counted right, and are known again', async () => {
    const folder = temporaryFolder();
    const made = await lethe(folder, ['apps', 'create', 'demo']);
    const appId = made.json.app.id as AppId;
    for (const [file, messages] of inputFiles(folder)) {
      const first = await lethe(folder, ['ingest', file, '--app', 'demo']);
      expect(first.json).toMatchObject({
        accepted: messages,
        duplicate: 0,
        erased: 0,
        rejected: 0,
      });
      const again = await lethe(folder, ['ingest', file, '--app', 'demo']);
      expect(again.json).toMatchObject({ accepted: 0, duplicate: messages, rejected: 0 });
      const store = await openAt(folder, {}, appId);
      const expected = await textsOfFile(file);
      let seen = 0;
      for (const [name, texts] of expected) {
        const [source, externalId, of] = JSON.parse(name);
        const conversation = await conversationOf(store, { source, externalId, of });
        expect(await textsOf(store, conversation)).toEqual(texts);
        seen += texts.length;
      }
      expect(seen).toBe(messages);
      await store.backends.close();
      const figures = { conversations: expected.size, first: first.json, again: again.json };
      recordFigures(`${messages} real messages`, figures);
    }
    const doctor = await lethe(folder, ['doctor']);
    expect(doctor.json).toMatchObject({ passed: true });
  });
});
