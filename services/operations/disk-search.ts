/**
 * Searches files for texts the way an attacker would: as UTF-8 and UTF-16, as base64 in all three
 * alignments, as hexadecimal, and as JSON escapes it; gzip files also by what is in them.
 */
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { gunzipSync } from 'node:zlib';

/** Where a text was found, and in which form. */
export interface SearchHit {
  readonly file: string;
  readonly form: string;
}

/** What `read` gives; undefined for what was removed while it was looked for. */
function unlessGone<Result>(read: () => Result): Result | undefined {
  try {
    return read();
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw error;
  }
}

const entriesIn = (folder: string) =>
  unlessGone(() => readdirSync(folder, { withFileTypes: true })) ?? [];

/** The files of a folder, and not of those in it. */
export function filesIn(folder: string): string[] {
  const files = entriesIn(folder).filter((entry) => entry.isFile());
  return files.map(({ name }) => join(folder, name));
}

/** All files below a folder. */
export function filesBelow(folder: string): string[] {
  return entriesIn(folder).flatMap((entry) => {
    const path = join(folder, entry.name);
    if (entry.isDirectory()) return filesBelow(path);
    return entry.isFile() ? [path] : [];
  });
}

/** The forms in which a text may lie on a disk. */
export function formsOf(text: string): Map<string, Buffer> {
  const utf8 = Buffer.from(text, 'utf8');
  const forms = new Map<string, Buffer>([
    ['utf-8', utf8],
    ['utf-16le', Buffer.from(text, 'utf16le')],
    ['utf-16be', Buffer.from(text, 'utf16le').swap16()],
    ['hex', Buffer.from(utf8.toString('hex'))],
    ['hex upper', Buffer.from(utf8.toString('hex').toUpperCase())],
    ['json', Buffer.from(escapeUnicode(text))],
  ]);
  for (let shift = 0; shift < 3; shift += 1) {
    const encoded = Buffer.concat([Buffer.alloc(shift), utf8]).toString('base64');
    // Characters that also depend on the neighbours are left out.
    const from = Math.ceil((shift * 8) / 6);
    const to = Math.floor(((shift + utf8.length) * 8) / 6);
    forms.set(`base64 +${shift}`, Buffer.from(encoded.slice(from, to)));
  }
  return forms;
}

function escapeUnicode(text: string): string {
  return text.replaceAll(/[^ -~]/g, (unit) => {
    return [...Array(unit.length).keys()]
      .map((i) => `\\u${unit.charCodeAt(i).toString(16).padStart(4, '0')}`)
      .join('');
  });
}

function readUnpacked(file: string): Buffer | undefined {
  const bytes = unlessGone(() => readFileSync(file));
  if (bytes === undefined) return undefined;
  if (bytes[0] !== 0x1f || bytes[1] !== 0x8b) return bytes;
  try {
    return Buffer.concat([bytes, gunzipSync(bytes)]);
  } catch {
    return bytes;
  }
}

/** Every hit of any of the texts in the files; one that is removed meanwhile has none. */
export function searchFiles(files: readonly string[], texts: readonly string[]): SearchHit[] {
  const forms = texts.flatMap((text) => [...formsOf(text)]);
  return files.flatMap((file) => {
    const bytes = readUnpacked(file);
    if (bytes === undefined) return [];
    return forms.filter(([, needle]) => bytes.includes(needle)).map(([form]) => ({ file, form }));
  });
}
