import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import {
  deliverySchema,
  openDeliveryStoreCassandra,
} from '../../libs/deliveries/cassandra/delivery-store-cassandra.ts';
import { CassandraDatabase } from '../../libs/engines/cassandra-database.ts';
import { migrateKeyspace } from '../../libs/engines/cassandra-migrations.ts';
import { readCassandraUrl } from '../../libs/engines/engine-urls.ts';
import {
  CASSANDRA_LOGIN,
  type CassandraServer,
  startCassandra,
} from '../servers/cassandra-server.ts';
import { type Certificate, makeCertificate } from '../servers/certificates.ts';
import { stopProcesses } from '../servers/server-process.ts';

const folder = mkdtempSync(join(tmpdir(), 'lethe-cassandra-login-'));
let certificate: Certificate;
let server: CassandraServer;
beforeAll(async () => {
  certificate = makeCertificate(join(folder, 'certificate'));
  server = await startCassandra(folder, 1, certificate);
});
afterAll(async () => {
  await stopProcesses(server.processes);
  rmSync(folder, { recursive: true, force: true });
});

/** What everybody who is let in can read. */
const KNOWN = 'SELECT key FROM system.local';

/** Both halves: Cassandra asks for a certificate of the client too. */
const ownTls = () => {
  const { caFile, keyFile } = certificate;
  return `tls=${caFile}&cert=${caFile}&key=${keyFile}`;
};

function engineOf(password: string, tls = ownTls()) {
  const login = `${CASSANDRA_LOGIN.username}:${encodeURIComponent(password)}`;
  const at = `${server.hosts[0]}:${server.port}/secure?dc=datacenter1&replication=1`;
  return readCassandraUrl(`cassandra://${login}@${at}&${tls}`)!;
}

describe('a Cassandra that asks for TLS, a certificate and a password', () => {
  it('is migrated, written to and read', async () => {
    const engine = engineOf(CASSANDRA_LOGIN.password);
    // It makes its first user some moments after it began to listen.
    await vi.waitFor(() => migrateKeyspace(engine, 'STATE_UNREACHABLE', [deliverySchema]), {
      timeout: 60_000,
      interval: 1_000,
    });
    const database = new CassandraDatabase(engine, 'STATE_UNREACHABLE', 'quorum');
    expect(await database.get(KNOWN)).toMatchObject({ key: 'local' });
    const store = openDeliveryStoreCassandra(database);
    const row = {
      id: 'ab'.repeat(16) as never,
      day: 1,
      revision: 1,
      wrapped: Buffer.from('words'),
    };
    const app = 'cd'.repeat(16) as never;
    expect(await store.put(app, [row])).toEqual([true]);
    const [found] = await store.find(app, [row.id]);
    expect(found!.wrapped.toString()).toBe('words');
    await database.close();
  });

  it('refuses a wrong password, an unknown certificate and none; no password is in a message', async () => {
    const { caFile } = certificate;
    for (const engine of [
      engineOf('wrong-password'),
      engineOf(CASSANDRA_LOGIN.password, 'tls=on'),
      engineOf(CASSANDRA_LOGIN.password, `tls=${caFile}`),
      engineOf(CASSANDRA_LOGIN.password, 'tls=off'),
    ]) {
      const database = new CassandraDatabase(engine, 'STATE_UNREACHABLE', 'quorum');
      const error = await database.get(KNOWN).catch((one: unknown) => one);
      expect(error).toMatchObject({ code: 'STATE_UNREACHABLE' });
      expect(String(error)).not.toMatch(/wrong-password/);
      await database.close();
    }
  });
});
