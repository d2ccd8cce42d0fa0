/**
 * Tries to write to a database as a user who may read it alone. What root starts becomes nobody
 * first: root may write everything. Run as a process; prints what was said, a line each.
 */
import { dirname } from 'node:path';
import { assertFolderUsable } from '../../libs/base/durable-file.ts';
import { SqliteDatabase } from '../../libs/engines/sqlite-database.ts';
import { assertWritable } from '../../services/server/store-watch.ts';

const NOBODY = 65_534;
const [file = ''] = process.argv.slice(2);

if (process.geteuid!() === 0) {
  process.setgroups!([]);
  process.setgid!(NOBODY);
  process.setuid!(NOBODY);
}

for (const work of [
  () => assertWritable([file]),
  () => assertFolderUsable('LETHE_BACKUPS', `${dirname(file)}/kept/backups`),
  () => new SqliteDatabase(file, 'STATE_UNREACHABLE').define('CREATE TABLE late (one INTEGER)'),
]) {
  try {
    work();
    process.stdout.write('written\n');
  } catch (error) {
    process.stdout.write(`${(error as Error).message}\n`);
  }
}
