import { describe, expect, it } from 'vitest';
import { readConfiguration } from '../../../libs/configuration/configuration.ts';
import {
  readAwsKmsUrl,
  readCassandraUrl,
  readKafkaUrl,
} from '../../../libs/engines/engine-urls.ts';

describe('the URLs of engines', () => {
  it('say hosts, names, copies, logins and certificates', () => {
    expect(readKafkaUrl('kafka://ann:p%40ss@a:1,b?prefix=x&partitions=6&tls=ca.pem')).toEqual({
      engine: 'kafka',
      brokers: ['a:1', 'b:9092'],
      prefix: 'x',
      partitions: 6,
      replication: 3,
      sasl: { mechanism: 'scram-sha-512', username: 'ann', password: 'p@ss' },
      tls: { ca: 'ca.pem' },
    });
    expect(readCassandraUrl('cassandra://a:1,b/keys?dc=DC1&replication=5')).toEqual({
      engine: 'cassandra',
      hosts: ['a', 'b'],
      port: 1,
      keyspace: 'keys',
      dataCenter: 'DC1',
      replication: 5,
    });
    expect(readAwsKmsUrl('aws-kms:eu-west-1?pending-days=30')).toEqual({
      engine: 'aws-kms',
      region: 'eu-west-1',
      pendingDays: 30,
    });
  });

  it.each([
    ['LETHE_LOG', 'kafka://:secret@host?sasl=unknown'],
    ['LETHE_LOG', 'kafka://ann:secret@host:99999'],
    ['LETHE_VAULT', 'cassandra://ann:secret@host/keys'],
    ['LETHE_VAULT', 'cassandra://ann:secret@host/Keys?dc=DC1'],
    ['LETHE_KMS', 'aws-kms:eu-west-1?pending-days=1&secret'],
  ])(
    'are refused when they are wrong, by a message that names %s and not its value',
    (name, url) => {
      const variables = { [name]: url, LETHE_STATE: 'cassandra://host/state?dc=DC1' };
      const read = () => readConfiguration(variables);
      expect(read).toThrow(new RegExp(`^${name}: expected`));
      expect(read).not.toThrow(/secret/);
    },
  );
});
