/** The key material of a person, as the vault's own code derives it: what must leave all memory. */

import { msToDay } from '../../libs/base/day.ts';
import { idToBucket, type SubjectId } from '../../libs/base/ids.ts';
import { decodeRecord } from '../../libs/codec/event-record.ts';
import { Ring } from '../../libs/keyring/ring.ts';
import type { RingMaterial } from '../../libs/keyring/ring-material.ts';
import { purposes, writeAppPart, writeEventKey } from '../../libs/sealing/event-key.ts';
import { NODE_BYTES } from '../../libs/sealing/key-tree.ts';
import { ringKinds } from '../../libs/sealing/tree-path.ts';
import { openRingRow, ringRow } from '../../libs/vault/rings/vault-rings.ts';
import { appRootRow, bucketKeyRow, STORE_ROOT } from '../../libs/vault/rows/key-slots.ts';
import { recordsOf } from './reading.ts';
import type { TestStore } from './temporary-store.ts';
import { openVaultParts } from './vault-parts.ts';

const SEED_AT = NODE_BYTES - 32;

/** Seeds, leaves and event keys of everything that is about a person, by what they are. */
export async function secretsOf(
  store: TestStore,
  subject: SubjectId,
): Promise<Map<string, Buffer>> {
  const { app } = store;
  const { store: rows, hierarchy, lease } = await openVaultParts(store);
  const secrets = new Map<string, Buffer>();
  const open = async (kind: Ring['ref']['kind'], id: string) => {
    const [row] = await rows.read([ringRow({ app: app.id, kind, id }, app.buckets)]);
    const material = openRingRow(row!, await hierarchy.openerOf(row!)) as RingMaterial;
    const name = `${{ 1: 'app', 2: 'owner', 3: 'place' }[kind]} ${id.slice(0, 6)}`;
    if (kind !== ringKinds.app) {
      for (let at = 0; at < material.nodes.length; at += NODE_BYTES) {
        const seed = Buffer.from(material.nodes.subarray(at + SEED_AT, at + NODE_BYTES));
        secrets.set(`node ${at / NODE_BYTES} of ${name}`, seed);
      }
      if (material.idKey) secrets.set(`id key of ${name}`, Buffer.from(material.idKey));
    }
    return new Ring({ app: app.id, kind, id }, row!.version, material);
  };
  const appRing = await open(ringKinds.app, app.id);
  const owner = await open(ringKinds.owner, subject);
  const places = new Map<string, Ring>();
  for await (const record of recordsOf(store)) {
    const { header } = decodeRecord(record.key, record.value);
    if (header.owner !== subject) continue;
    if (!places.has(header.place)) places.set(header.place, await open(3, header.place));
    const day = msToDay(header.occurredAt);
    const daySeed = Buffer.from(owner.daySeed(header.retentionClass, day)!);
    const appSeed = appRing.daySeed(header.retentionClass, day)!;
    const appPart = Buffer.alloc(32);
    writeAppPart(appSeed, Buffer.from(header.owner, 'hex'), { bytes: appPart, at: 0 });
    const thingLeaf = Buffer.alloc(32);
    places.get(header.place)!.writeThingLeaf(Buffer.from(header.thing, 'hex'), thingLeaf);
    const key = Buffer.alloc(32);
    const eventId = Buffer.from(header.eventId, 'hex');
    const { cipher } = header;
    const parts = { purpose: purposes.content, cipher, appPart, ownerDaySeed: daySeed };
    writeEventKey({ ...parts, thingLeaf, eventId }, key);
    const name = `${header.type} ${header.eventId.slice(0, 6)}`;
    secrets.set(`day ${header.retentionClass} ${day}`, daySeed);
    secrets.set(`app part ${header.retentionClass} ${day}`, appPart);
    secrets.set(`leaf of ${name}`, thingLeaf);
    secrets.set(`event key of ${name}`, key);
  }
  await lease.close();
  return secrets;
}

/** The keys above a person's rings, which the next turn retires. */
export async function rootsOf(store: TestStore, subject: SubjectId): Promise<Map<string, Buffer>> {
  const { id, buckets } = store.app;
  const { store: rows, hierarchy, lease } = await openVaultParts(store);
  const roots = new Map<string, Buffer>();
  const bucket = bucketKeyRow(id, idToBucket(subject) % buckets);
  const slots = { 'store root': STORE_ROOT, 'app root': appRootRow(id), 'bucket key': bucket };
  for (const [name, key] of Object.entries(slots)) {
    const [row] = await rows.read([key]);
    const opened = await hierarchy.openKeyRow(row!);
    if (opened !== 'erased') roots.set(name, Buffer.from(opened.bytes));
  }
  await lease.close();
  return roots;
}
