import { chmodSync, mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { SqliteDatabase } from '../../../libs/engines/sqlite-database.ts';
import { startScript } from '../../support/processes.ts';
import { temporaryFolder } from '../../support/temporary-store.ts';

const SCRIPT = join(import.meta.dirname, '../../support/write-as-nobody.ts');

describe('a store whose files this user may read, and not write', () => {
  it('is not served, and each failure says which file it is', async () => {
    const folder = temporaryFolder();
    const file = join(folder, 'lethe.db');
    const database = new SqliteDatabase(file, 'STATE_UNREACHABLE');
    database.define('CREATE TABLE early (one INTEGER)');
    database.close();
    chmodSync(file, 0o444);
    chmodSync(folder, 0o777);
    const kept = join(folder, 'kept');
    mkdirSync(kept, { mode: 0o555 });
    const { out, err } = await startScript(SCRIPT, [file], process.env).ended;
    expect(err).toBe('');
    expect(out.trim().split('\n')).toEqual([
      expect.stringContaining(`cannot write ${file}: this user may not`),
      `LETHE_BACKUPS: cannot write ${kept}, where ${kept}/backups is to be made (EACCES): ` +
        'name a folder that this user may write',
      `cannot write ${file}: this user may not write it, or its folder`,
    ]);
  });
});
