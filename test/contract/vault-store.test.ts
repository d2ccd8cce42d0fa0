import { describe, expect, it } from 'vitest';
import { rowKinds, rowStates, type VaultRow } from '../../libs/vault/rows/vault-store.ts';
import { temporaryFolder } from '../support/temporary-store.ts';
import { adapters } from './adapters.ts';

const id = (byte: number) => byte.toString(16).padStart(2, '0').repeat(16) as never;

function row(change: Partial<VaultRow> = {}): VaultRow {
  return {
    app: id(1),
    bucket: 3,
    kind: rowKinds.ownerRing,
    id: id(2),
    version: 1,
    state: rowStates.active,
    wrappingKey: id(9),
    ownKey: null,
    holds: [],
    edges: [],
    wrapped: Buffer.from('wrapped bytes'),
    erasure: null,
    fingerprint: null,
    owed: null,
    ...change,
  };
}

describe.each(adapters.vault)('vault store %s', (_, open) => {
  it('gives rows back as they were written, in the order of the keys', async () => {
    const store = await open(temporaryFolder());
    const written = row({ holds: [id(7), id(8)], edges: [id(6)], ownKey: id(5) });
    expect(await store.commit([{ puts: [written] }])).toEqual(['done']);
    expect(await store.read([row({ id: id(4) }), written])).toEqual([undefined, written]);
  });

  it('inserts only where nothing is, replaces only the version that was read', async () => {
    const store = await open(temporaryFolder());
    await store.commit([{ puts: [row()] }]);
    expect(await store.commit([{ puts: [row()] }])).toEqual(['conflict']);
    expect(await store.commit([{ puts: [row({ version: 3 })] }])).toEqual(['conflict']);
    expect(await store.commit([{ puts: [row({ version: 2 })] }])).toEqual(['done']);
    expect(await store.versions([row()])).toEqual([{ version: 2, state: rowStates.active }]);
    const stale = [{ ...row(), version: 1 }];
    expect(await store.commit([{ removals: stale }])).toEqual(['conflict']);
    expect(await store.commit([{ removals: [row({ version: 2 })] }])).toEqual(['done']);
    expect(await store.versions([row()])).toEqual([undefined]);
  });

  it('writes only while the guard holds its key, and a batch wholly or not at all', async () => {
    const store = await open(temporaryFolder());
    const bucket = row({ kind: rowKinds.bucketKey, id: id(3), ownKey: id(5) });
    await store.commit([{ puts: [bucket] }]);
    const guard = { key: bucket, ownKey: id(4) };
    expect(await store.commit([{ guard, puts: [row()] }])).toEqual(['conflict']);
    const right = { key: bucket, ownKey: id(5) };
    const two = [row(), row({ id: id(8), version: 5 })];
    expect(await store.commit([{ guard: right, puts: two }])).toEqual(['conflict']);
    expect(await store.read([row()])).toEqual([undefined]);
    const outcomes = await store.commit([
      { guard: right, puts: two },
      { guard: right, puts: [row()] },
    ]);
    expect(outcomes).toEqual(['conflict', 'done']);
  });

  it('writes what needs others only after they were written, and not at all if one was not', async () => {
    const folder = temporaryFolder();
    const [store, other] = [await open(folder), await open(folder)];
    const ringOf = (n: number) => row({ id: id(100 + n), bucket: 2 * n });
    const nameOf = (n: number) => row({ kind: rowKinds.identity, id: id(n), bucket: 2 * n + 1 });
    let isDone = false;
    const looking = (async () => {
      while (!isDone) {
        for (let n = 0; n < 40; n += 1) {
          const [name] = await other.versions([nameOf(n)]);
          const [ring] = await other.versions([ringOf(n)]);
          expect(name !== undefined && ring === undefined).toBe(false);
        }
      }
    })();
    const rings = Array.from({ length: 40 }, (_, n) => ({ puts: [ringOf(n)] }));
    const names = rings.map((ring, n) => ({ puts: [nameOf(n)], needs: [ring] }));
    const outcomes = await store.commit([...rings, ...names]);
    expect(outcomes).toEqual(Array(80).fill('done'));
    isDone = true;
    await looking;
    const taken = { puts: [ringOf(1)] };
    const free = { puts: [ringOf(41)] };
    const named = { puts: [nameOf(41)], needs: [free, taken] };
    expect(await store.commit([free, taken, named])).toEqual(['done', 'conflict', 'conflict']);
    expect(await store.versions([nameOf(41)])).toEqual([undefined]);
  });

  it('remembers of a row which loss it owes to the feed, until that loss was entered', async () => {
    const store = await open(temporaryFolder());
    const owing = row({ owed: id(7) });
    await store.commit([{ puts: [owing, row({ id: id(3), owed: id(7) })] }]);
    await store.entered([owing], id(8));
    expect(await store.read([owing])).toEqual([owing]);
    await store.entered([owing, row({ id: id(4) })], id(7));
    expect(await store.read([owing])).toEqual([{ ...owing, owed: null }]);
    const [other] = await store.read([row({ id: id(3) })]);
    expect(other!.owed).toBe(id(7));
    // It is no change of the row: whoever read it before still replaces it.
    expect(await store.commit([{ puts: [row({ version: 2 })] }])).toEqual(['done']);
  });

  it('sees at once what another process has written', async () => {
    const folder = temporaryFolder();
    const [one, other] = [await open(folder), await open(folder)];
    await one.commit([{ puts: [row()] }]);
    expect(await other.versions([row()])).toEqual([{ version: 1, state: rowStates.active }]);
    await one.commit([{ puts: [row({ version: 2, state: rowStates.erased })] }]);
    expect(await other.versions([row()])).toEqual([{ version: 2, state: rowStates.erased }]);
    await other.commit([{ puts: [row({ version: 3 })] }]);
    expect(await one.versions([row()])).toEqual([{ version: 3, state: rowStates.active }]);
  });

  it('scans the rows of a kind, of one app or of all', async () => {
    const store = await open(temporaryFolder());
    const puts = [row(), row({ id: id(3) }), row({ app: id(2) }), row({ kind: 13 })];
    await store.commit(puts.map((one) => ({ puts: [one] })));
    const count = async (app?: never) => {
      let found = 0;
      for await (const _ of store.scan(rowKinds.ownerRing, app)) found += 1;
      return found;
    };
    expect([await count(), await count(id(1)), await count(id(9))]).toEqual([3, 2, 0]);
  });

  it('keeps segments until they are removed', async () => {
    const store = await open(temporaryFolder());
    await store.writeSegments(id(1), [{ id: id(2), wrapped: Buffer.from('part') }]);
    expect(await store.readSegments(id(1), [id(2), id(3)])).toEqual([
      Buffer.from('part'),
      undefined,
    ]);
    await store.removeSegments(id(1), [id(2)]);
    expect(await store.readSegments(id(1), [id(2)])).toEqual([undefined]);
  });
});

describe.each(adapters.vaultForged)('S51 a row of the vault that nobody made, in %s', (_, open) => {
  it('is read as one that no key opens, hides no other, and can be removed', async () => {
    const { store, forge } = await open(temporaryFolder());
    await store.commit([{ puts: [row()] }]);
    const forged = row({ id: id(4) });
    await forge(forged);
    const [read] = await store.read([forged]);
    expect(read).toMatchObject({ version: 0, state: 0, wrapped: Buffer.alloc(0), holds: [] });
    const scanned: string[] = [];
    for await (const one of store.scan(forged.kind, forged.app)) scanned.push(one.id);
    expect(scanned.toSorted()).toEqual([id(2), id(4)]);
    expect(await store.commit([{ removals: [read!] }])).toEqual(['done']);
    expect(await store.versions([forged, row()])).toEqual([
      undefined,
      { version: 1, state: rowStates.active },
    ]);
  });

  it('is scanned only where its name says that it lies', async () => {
    const { store } = await open(temporaryFolder());
    const bucketKey = row({ kind: rowKinds.bucketKey, id: '5'.padStart(32, '0'), bucket: 7 });
    await store.commit([{ puts: [bucketKey] }]);
    for await (const one of store.scan(bucketKey.kind, bucketKey.app)) expect(one.bucket).toBe(5);
  });
});
