import { createReadStream } from 'node:fs';
import { createInterface } from 'node:readline';
import { createGunzip } from 'node:zlib';
import { describe, expect, it } from 'vitest';
import type { AppId } from '../../libs/base/ids.ts';
import { recordFigures } from '../support/figures.ts';
import { lethe } from '../support/processes.ts';
import { groupOf, textsOf } from '../support/reading.ts';
import { inputFiles } from '../support/real-input.ts';
import { openAt, temporaryFolder } from '../support/temporary-store.ts';

interface Line {
  source: string;
  data: { conversation: { externalId: string }; content: { text: string } };
}

/** The texts of each conversation, in the order of the file. */
async function textsOfFile(file: string): Promise<Map<string, string[]>> {
  const raw = createReadStream(file);
  const lines = createInterface({ input: file.endsWith('.gz') ? raw.pipe(createGunzip()) : raw });
  const texts = new Map<string, string[]>();
  for await (const text of lines) {
    const line = JSON.parse(text) as Line;
    const name = `${line.source} ${line.data.conversation.externalId}`;
    texts.set(name, [...(texts.get(name)?.splice(0) ?? []), line.data.content.text]);
  }
  return texts;
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
        const [source, externalId] = name.split(' ') as [string, string];
        const conversation = await groupOf(store, externalId, { source });
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
