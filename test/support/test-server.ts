/** A server on a free port over a store of its own, asked as the README asks it. */
import { onTestFinished } from 'vitest';
import { startServer } from '../../services/server/serve.ts';
import { openTestStore, storeVariables } from './temporary-store.ts';

/** Starts a server; it ends with the test. */
export async function openTestServer() {
  const store = await openTestStore();
  const { backends, app } = store;
  const configuration = { ...store.configuration, http: { host: '127.0.0.1', port: 0 } };
  const server = await startServer({ backends, configuration }, ['ingest', 'reader', 'privacy']);
  onTestFinished(() => server.stop());
  const { accessKeys, clock } = backends.administration();
  const made = await accessKeys.create({ app: app.id, scope: 'app', nowMs: clock.nowMs() });
  return {
    url: server.address,
    app: app.id,
    key: `${made.id}:${made.secret}`,
    appName: app.name,
    /** For commands on the same store. */
    variables: storeVariables(store.folder),
    deliver: store.deliver,
    project: () => store.project(),
    /** Runs lines that begin with curl; the JSON of each answer. */
    async curl(block: string, values: Readonly<Record<string, string>>): Promise<unknown[]> {
      const answers: unknown[] = [];
      for (const line of block.split(/\n(?=curl )/)) {
        const { url, init } = readCurl(fill(line, values));
        answers.push(await (await fetch(url, init)).json());
      }
      return answers;
    },
  };
}

/** Puts values where a page has $NAME, or a name in capitals. */
function fill(line: string, values: Readonly<Record<string, string>>): string {
  const names = Object.keys(values).join('|');
  return line.replaceAll(new RegExp(`\\$?\\b(${names})\\b`, 'g'), (_, name) => values[name]!);
}

/** The few options of curl that the pages use. */
function readCurl(line: string): { url: string; init: RequestInit } {
  const words = [...line.matchAll(/'([^']*)'|(\S+)/g)].map(([, quoted, word]) => quoted ?? word!);
  const init: RequestInit & { headers: Record<string, string> } = { headers: {} };
  let url = '';
  let option = '';
  for (const word of words.slice(1)) {
    if (option === '-u') init.headers.authorization = `Basic ${btoa(word)}`;
    else if (option === '-X') init.method = word;
    else if (option === '-d') Object.assign(init, { method: 'POST', body: word });
    else if (option === '-H') init.headers[word.split(': ')[0]!] = word.split(': ')[1]!;
    else if (!word.startsWith('-')) url = word;
    option = option === '' && word.startsWith('-') ? word : '';
  }
  return { url, init };
}
