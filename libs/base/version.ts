/** The version of Lethe, as its package names it. */
import { readFileSync } from 'node:fs';

const manifest = new URL('../../package.json', import.meta.url);

/** As `lethe --version` prints it, for example 0.1.0. */
export const VERSION: string = JSON.parse(readFileSync(manifest, 'utf8')).version;
