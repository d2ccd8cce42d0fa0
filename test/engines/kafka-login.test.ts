import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { readKafkaUrl } from '../../libs/engines/engine-urls.ts';
import { openEventLogKafka } from '../../libs/event-log/kafka/event-log-kafka.ts';
import { createKafka } from '../../libs/event-log/kafka/kafka-client.ts';
import { makeTopics } from '../../libs/event-log/kafka/kafka-topic.ts';
import { type KafkaServer, startKafka } from '../servers/kafka-server.ts';
import { stopProcesses } from '../servers/server-process.ts';

const LOGIN = { username: 'lethe', password: 'p@ss:word/1' };
const folder = mkdtempSync(join(tmpdir(), 'lethe-kafka-login-'));
let server: KafkaServer;
beforeAll(async () => {
  server = await startKafka(folder, 1, { login: LOGIN });
});
afterAll(async () => {
  await stopProcesses(server.processes);
  rmSync(folder, { recursive: true, force: true });
});

function engineOf(sasl: string, password: string, tls = `tls=${server.secure!.caFile}`) {
  const login = `${LOGIN.username}:${encodeURIComponent(password)}`;
  const settings = `prefix=login-${sasl}&partitions=1&replication=1&sasl=${sasl}&${tls}`;
  return readKafkaUrl(`kafka://${login}@${server.secure!.brokers[0]}?${settings}`)!;
}

describe('a Kafka that asks for TLS and a login', () => {
  it.each(['plain', 'scram-sha-256', 'scram-sha-512'])(
    'is written to and read with %s',
    async (sasl) => {
      const engine = engineOf(sasl, LOGIN.password);
      await makeTopics(createKafka(engine), engine);
      const log = await openEventLogKafka(engine);
      await log.append([{ key: Buffer.alloc(42, 1), value: Buffer.from('words') }]);
      const [record] = await log.read(0, 0, 10);
      expect(record!.value.toString()).toBe('words');
      await log.close();
    },
  );

  it('refuses a wrong password and an unknown certificate; the password is in no message', async () => {
    for (const engine of [
      engineOf('scram-sha-512', 'wrong-password'),
      engineOf('plain', LOGIN.password, 'tls=on'),
    ]) {
      const error = await openEventLogKafka(engine).catch((one: unknown) => one);
      expect(error).toMatchObject({ code: 'LOG_UNREACHABLE' });
      expect(String(error)).not.toMatch(/p@ss|wrong-password/);
    }
  });
});
