/**
 * The vault's keyspace: rows, segments, feed and turn. A partition of rows is one bucket of one
 * app, with the bucket's key in it. So one conditional statement writes a row under the key that
 * must still be current. Deleted rows leave the files after gc_grace: nodes that were down for
 * longer are rebuilt, not restarted (infra/runbooks/cassandra.md).
 */
import type { CassandraSchema } from '../../../engines/cassandra-migrations.ts';

const OPTIONS = `gc_grace_seconds = 86400 AND cdc = false
  AND compaction = {'class': 'LeveledCompactionStrategy'}`;

/** Tables of the vault, applied by `lethe migrate`. */
export const vaultSchema: CassandraSchema = {
  area: 'vault',
  steps: [
    [
      `CREATE TABLE IF NOT EXISTS vault_rows (
        app blob, bucket int, kind int, id blob, version bigint, state int, wrapping_key blob,
        own_key blob, holds blob, edges blob, wrapped blob, erasure blob, fingerprint blob,
        owed blob, PRIMARY KEY ((app, bucket), kind, id)) WITH ${OPTIONS}`,
      // Where rows of rare kinds lie, for scans; written before the row, removed after it.
      `CREATE TABLE IF NOT EXISTS vault_rare (
        kind int, app blob, bucket int, id blob, PRIMARY KEY (kind, app, bucket, id))
        WITH ${OPTIONS}`,
      `CREATE TABLE IF NOT EXISTS vault_buckets (
        app blob, bucket int, PRIMARY KEY (app, bucket)) WITH ${OPTIONS}`,
      // Which key a bucket had when it lost something: a turn takes away the marks of that key.
      `CREATE TABLE IF NOT EXISTS vault_dirty (
        one int, app blob, bucket int, key blob, PRIMARY KEY (one, app, bucket, key))
        WITH ${OPTIONS}`,
      `CREATE TABLE IF NOT EXISTS vault_segments (
        app blob, id blob, wrapped blob, PRIMARY KEY ((app, id))) WITH ${OPTIONS}`,
      `CREATE TABLE IF NOT EXISTS feed_entries (
        one int, incarnation text static, head bigint static, number bigint, erasure blob,
        rows blob, PRIMARY KEY (one, number)) WITH ${OPTIONS}`,
      `CREATE TABLE IF NOT EXISTS feed_holders (
        one int, id text, lease_ms int, acknowledged bigint, struck_at_ms bigint, door text,
        PRIMARY KEY (one, id)) WITH ${OPTIONS}`,
      `CREATE TABLE IF NOT EXISTS vault_turn (one int PRIMARY KEY, turn text) WITH ${OPTIONS}`,
    ],
    // Codes over entries, holders and turns, and a roster of holders.
    [
      'ALTER TABLE feed_entries ADD IF NOT EXISTS code text',
      'ALTER TABLE feed_entries ADD IF NOT EXISTS head_code text static',
      `CREATE TABLE IF NOT EXISTS feed_acknowledgements (
        one int, id text, acknowledged bigint, entry_code text, code text, door text,
        PRIMARY KEY (one, id)) WITH ${OPTIONS}`,
      `CREATE TABLE IF NOT EXISTS feed_roster (one int PRIMARY KEY, body text, code text)
        WITH ${OPTIONS}`,
      'DROP TABLE IF EXISTS feed_holders',
      'ALTER TABLE vault_turn ADD IF NOT EXISTS code text',
    ],
  ],
};
