import { readdirSync, readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';

const FOLDER = new URL('../../../schemas/', import.meta.url);
// Fideslang's taxonomy, as far as the schemas use it.
const CATEGORIES = new Set([
  'system.operations',
  'system.authentication',
  'user.behavior',
  'user.contact.email',
  'user.content.private',
  'user.content.self_image',
  'user.demographic.language',
  'user.name',
  'user.name.first',
  'user.name.last',
  'user.unique_id',
  'user.unique_id.pseudonymous',
]);
const PURPOSES = new Set([
  'essential.service',
  'essential.service.operations',
  'essential.service.security',
  'essential.legal_obligation',
]);

interface Field {
  name: string;
  type: unknown;
  whose?: string;
  category?: string;
  purpose?: string;
}

/** Every field of a schema, those of nested records included. */
function fieldsOf(schema: unknown, path: string): [path: string, field: Field][] {
  if (Array.isArray(schema)) return schema.flatMap((branch) => fieldsOf(branch, path));
  if (typeof schema !== 'object' || schema === null) return [];
  const { fields, items, type } = schema as { fields?: Field[]; items?: unknown; type?: unknown };
  const own = (fields ?? []).flatMap((field) => {
    const at = `${path}.${field.name}`;
    return [[at, field] as [string, Field], ...fieldsOf(field.type, at)];
  });
  return [
    ...own,
    ...fieldsOf(items, path),
    ...fieldsOf(typeof type === 'object' ? type : null, path),
  ];
}

describe('schemas', () => {
  const files = readdirSync(FOLDER).filter((file) => file.endsWith('.avsc'));

  it.each(files)('%s says of each field whose data it is, its category and its purpose', (file) => {
    const schema = JSON.parse(readFileSync(new URL(file, FOLDER), 'utf8'));
    const fields = fieldsOf(schema, file);
    expect(fields.length).toBeGreaterThan(0);
    for (const [path, field] of fields) {
      expect(field.whose, `${path}: whose`).toMatch(/^[a-z]+$/);
      expect(CATEGORIES.has(field.category ?? ''), `${path}: category`).toBe(true);
      expect(PURPOSES.has(field.purpose ?? ''), `${path}: purpose`).toBe(true);
    }
  });

  it.each(files)('%s is named for its record and version', (file) => {
    const schema = JSON.parse(readFileSync(new URL(file, FOLDER), 'utf8'));
    const kebab = schema.name.replaceAll(/(?!^)[A-Z]/g, (c: string) => `-${c}`).toLowerCase();
    expect(file).toMatch(new RegExp(`^${kebab}\\.v\\d+\\.avsc$`));
  });
});
