import { describe, expect, it } from 'vitest';
import { readConfiguration } from '../../../libs/configuration/configuration.ts';

const CASSANDRA = 'cassandra://db.example.org/lethe_vault?dc=a';
const PLAIN: readonly [string, string][] = [
  ['LETHE_HTTP', '0.0.0.0:8080'],
  ['LETHE_HTTP', '[::]:8080'],
  ['LETHE_HTTP', '192.0.2.7:8080'],
  ['LETHE_HTTP', 'lethe.example.org:8080'],
  ['LETHE_HTTP_URL', 'http://reader:8080'],
  ['LETHE_LOG', 'kafka://127.0.0.1:9092,192.0.2.7:9092'],
  ['LETHE_VIEWS', CASSANDRA],
  ['LETHE_VAULT', CASSANDRA],
  ['LETHE_VAULT', 'cassandra://127.0.0.1,127.0.0.1.example.org/lethe_vault?dc=a'],
  ['LETHE_CACHE', 'redis://cache:6379'],
  ['LETHE_KMS', 'aws-kms:eu-west-1?endpoint=http%3A%2F%2Fkms%3A4566'],
];

const SAFE: readonly [string, string][] = [
  ['LETHE_HTTP', 'localhost:8080'],
  ['LETHE_HTTP', '[::1]:8080'],
  ['LETHE_HTTP', '127.0.0.2:8080'],
  ['LETHE_HTTP_URL', 'https://reader:8080'],
  ['LETHE_LOG', 'kafka://localhost:9092,127.0.0.1:9093'],
  ['LETHE_LOG', 'kafka://192.0.2.7:9092?tls=on'],
  ['LETHE_VAULT', `${CASSANDRA}&tls=ca.pem`],
  ['LETHE_CACHE', 'redis://127.0.0.1:6379'],
  ['LETHE_KMS', 'aws-kms:eu-west-1'],
  ['LETHE_KMS', 'aws-kms:eu-west-1?endpoint=http%3A%2F%2F127.0.0.1%3A4566'],
];

/** A log on Kafka has its state in Cassandra. */
const beside = (name: string) =>
  name === 'LETHE_LOG' ? { LETHE_STATE: `${CASSANDRA}&tls=on` } : {};

describe('what passes a network', () => {
  it.each(PLAIN)('is refused without TLS: %s=%s', (name, value) => {
    const variables = { ...beside(name), [name]: value };
    expect(() => readConfiguration(variables)).toThrow(
      new RegExp(`^${name}: .*not encrypted beyond this machine.*LETHE_INSECURE=1`),
    );
    readConfiguration({ ...variables, LETHE_INSECURE: '1' });
  });

  it.each(SAFE)(
    'is taken where it is encrypted, or stays on this machine: %s=%s',
    (name, value) => {
      readConfiguration({ ...beside(name), [name]: value });
    },
  );

  it('may be HTTP where the server speaks HTTPS', () => {
    const tls = { LETHE_HTTP_TLS: 'cert=cert.pem&key=key.pem' };
    expect(readConfiguration({ LETHE_HTTP: '0.0.0.0:8443', ...tls }).http.host).toBe('0.0.0.0');
  });

  it('is not allowed by any other word than 1', () => {
    const variables = { LETHE_HTTP: '0.0.0.0:8080', LETHE_INSECURE: 'yes' };
    expect(() => readConfiguration(variables)).toThrow(/^LETHE_INSECURE: /);
  });
});

describe('the schedule of turns', () => {
  it.each([
    ['off', null],
    ['every 1h', 1],
    ['every 1d', 24],
    ['every 365d', 8_760],
  ])('%s is every %s hours', (text, hours) => {
    expect(readConfiguration({ LETHE_TURN_SCHEDULE: text }).turnEveryHours).toBe(hours);
  });

  it.each(['daily', 'every 0h', 'every 366d', 'every 1w', 'every d'])('%s is refused', (text) => {
    expect(() => readConfiguration({ LETHE_TURN_SCHEDULE: text })).toThrow(/every Nh or every Nd/);
  });
});
