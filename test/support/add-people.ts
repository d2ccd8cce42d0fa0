/** Run as a process of its own: adds people to an app and prints who they are. */

import { readConfiguration } from '../../libs/configuration/configuration.ts';
import { openBackends } from '../../libs/wiring/open-backends.ts';

const [appName, count] = process.argv.slice(2);
const configuration = readConfiguration(
  Object.fromEntries(Object.entries(process.env).filter(([name]) => name.startsWith('LETHE_'))),
);
const backends = await openBackends(configuration);
const { directoryWriter, apps } = backends.ingest();
const app = (await apps.find(appName!))!;
const found: string[] = [];
for (let i = 0; i < Number(count); i += 10) {
  const newcomers = Array.from({ length: 10 }, (_, n) => {
    return { identity: { channel: 'chat', externalId: `person-${i + n}` } };
  });
  found.push(...(await directoryWriter.addSubjects(app, newcomers, 1)).ids);
}
await backends.close();
process.stdout.write(JSON.stringify(found));
