/** Avro's Parsing Canonical Form (Avro specification, "Parsing Canonical Form for Schemas"). */

/** An Avro schema as JSON. */
export type AvroSchema = string | AvroSchema[] | { readonly [key: string]: unknown };

const PRIMITIVES = new Set([
  'null',
  'boolean',
  'int',
  'long',
  'float',
  'double',
  'bytes',
  'string',
]);
const KEY_ORDER = ['name', 'type', 'fields', 'symbols', 'items', 'values', 'size'] as const;

/** The canonical text of a schema: attributes stripped, full names, fixed order, no white space. */
export function parsingCanonicalForm(schema: AvroSchema, namespace = ''): string {
  if (typeof schema === 'string') return JSON.stringify(fullName(schema, namespace));
  if (Array.isArray(schema)) {
    return `[${schema.map((branch) => parsingCanonicalForm(branch, namespace)).join(',')}]`;
  }
  const type = schema.type;
  if (typeof type === 'string' && PRIMITIVES.has(type)) return JSON.stringify(type);
  if (typeof type === 'object') return parsingCanonicalForm(type as AvroSchema, namespace);
  const inner = innerNamespace(schema, namespace);
  const parts: string[] = [];
  for (const key of KEY_ORDER) {
    const value = schema[key];
    if (value === undefined) continue;
    parts.push(`"${key}":${canonicalAttribute(key, value, inner)}`);
  }
  return `{${parts.join(',')}}`;
}

function canonicalAttribute(key: string, value: unknown, namespace: string): string {
  if (key === 'name') return JSON.stringify(fullName(value as string, namespace));
  if (key === 'fields') {
    const fields = value as { name: string; type: AvroSchema }[];
    const texts = fields.map(({ name, type }) => {
      return `{"name":${JSON.stringify(name)},"type":${parsingCanonicalForm(type, namespace)}}`;
    });
    return `[${texts.join(',')}]`;
  }
  if (key === 'items' || key === 'values') {
    return parsingCanonicalForm(value as AvroSchema, namespace);
  }
  return JSON.stringify(key === 'size' ? Number(value) : value);
}

function innerNamespace(schema: { readonly [key: string]: unknown }, outer: string): string {
  const name = schema.name;
  if (typeof name === 'string' && name.includes('.')) return name.slice(0, name.lastIndexOf('.'));
  return typeof schema.namespace === 'string' ? schema.namespace : outer;
}

function fullName(name: string, namespace: string): string {
  if (PRIMITIVES.has(name) || name.includes('.') || namespace === '') return name;
  return `${namespace}.${name}`;
}
