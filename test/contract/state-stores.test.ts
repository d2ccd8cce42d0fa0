import { describe, expect, it } from 'vitest';
import type { OpenStep, PrivacyRequest } from '../../libs/requests/request.ts';
import { createRequestStore } from '../../libs/requests/request-store.ts';
import type { RequestTable } from '../../libs/requests/request-table.ts';
import { fixedMac } from '../support/fixed-mac.ts';
import { temporaryFolder } from '../support/temporary-store.ts';
import { adapters } from './adapters.ts';

const openRequests = async (table: RequestTable | Promise<RequestTable>) =>
  createRequestStore(await table, fixedMac());

const id = (byte: number) => byte.toString(16).padStart(2, '0').repeat(16) as never;

describe.each(adapters.deliveries)('delivery store %s', (_, open) => {
  const row = (n: number, revision = 1, day = 10) => {
    return { id: id(n), day, revision, wrapped: Buffer.from(`entry ${n}.${revision}`) };
  };

  it('lets the first writer of a revision win, across processes', async () => {
    const folder = temporaryFolder();
    const [one, other] = [await open(folder), await open(folder)];
    expect(await one.put(id(1), [row(1), row(2)])).toEqual([true, true]);
    expect(await other.put(id(1), [row(1), row(3)])).toEqual([false, true]);
    expect(await other.put(id(1), [row(1, 2)])).toEqual([true]);
    expect(await one.put(id(1), [row(1, 2)])).toEqual([false]);
    const [found, absent] = await one.find(id(1), [id(1), id(9)]);
    expect([found, absent]).toMatchObject([row(1, 2), undefined]);
    await other.settle(id(1), [row(1, 2)]);
    expect((await one.find(id(1), [id(1)]))[0]!.isSettled).toBe(true);
    expect(await one.find(id(2), [id(1)])).toEqual([undefined]);
  });

  it('finds what is older than a day, of one app, and removes it', async () => {
    const store = await open(temporaryFolder());
    await store.put(id(1), [row(1, 1, 5), row(2, 1, 6), row(3, 1, 7)]);
    await store.put(id(2), [row(4, 1, 1)]);
    expect((await store.olderThan(id(1), 7, 10)).map((one) => one.id)).toEqual([id(1), id(2)]);
    await store.remove(id(1), [id(1), id(2)]);
    expect(await store.olderThan(id(1), 7, 10)).toEqual([]);
  });
});

describe.each(adapters.requests)('request store %s', (_, open) => {
  const request = (n: number, step: OpenStep, changedAtMs = 0) => ({
    id: id(n),
    loss: id(n + 100),
    app: id(1),
    kind: 'erase-subject' as const,
    target: { subject: id(7) },
    step,
    receivedAtMs: 0,
    changedAtMs,
  });

  it('lists what is not done, oldest first', async () => {
    const store = await openRequests(open(temporaryFolder()));
    await store.add(request(1, 'begun', 100));
    await store.add(request(2, 'received', 100));
    await store.add(request(3, 'begun', 50));
    const ended = { nowMs: 6, keepsTarget: false, afterTurn: 0 };
    await store.finish(request(1, 'begun', 100), ended);
    expect((await store.open(10)).map((one) => one.id)).toEqual([id(2), id(3)]);
    expect((await store.open(1)).length).toBe(1);
  });

  it('keeps a request once, and forgets its target when it is done', async () => {
    const store = await openRequests(open(temporaryFolder()));
    await store.add(request(1, 'received'));
    await store.add(request(1, 'received'));
    expect(await store.record(request(1, 'received'), 'shred', 5)).toBe(true);
    expect(await store.record(request(2, 'received'), 'shred', 5)).toBe(false);
    expect(await store.get(id(1))).toMatchObject({ step: 'shred', target: { subject: id(7) } });
    const ended = { nowMs: 6, keepsTarget: false, afterTurn: 0 };
    await store.finish(request(1, 'shred'), ended);
    expect(await store.get(id(1))).toMatchObject({ step: 'done', target: {} });
    expect(await store.open(10)).toEqual([]);
  });
});

describe.each(adapters.requests)('afterlives of requests %s', (_, open) => {
  const add = async (folder: string, n: number, kind: 'erase-subject' | 'forget-message') => {
    const store = await openRequests(open(folder));
    const target = { subject: id(7), conversation: id(9), message: id(8) };
    const times = { receivedAtMs: 0, changedAtMs: 0 };
    const ids = { id: id(n), loss: id(n + 100), app: id(1) };
    const request = { ...ids, kind, target, step: 'begun', ...times } as PrivacyRequest;
    await store.add(request);
    const ended = { keepsTarget: kind === 'forget-message', afterTurn: 3 };
    await store.finish(request, { nowMs: 100 + n, ...ended });
    return { store, request };
  };

  it('begin when a request is done, once, and end when T1 and reclaim are reached', async () => {
    const folder = temporaryFolder();
    const { store, request } = await add(folder, 1, 'erase-subject');
    await store.finish(request, { nowMs: 900, keepsTarget: false, afterTurn: 4 });
    const begun = {
      id: id(1),
      loss: id(101),
      app: id(1),
      kind: 'erase-subject',
      target: {},
      doneAtMs: 101,
      afterTurn: 3,
    };
    const open1 = { ...begun, t1AtMs: null, reclaimedAtMs: null };
    expect(await (await openRequests(open(folder))).afterlives()).toEqual([open1]);
    await store.reach(id(1), { t1AtMs: 5 });
    await store.reach(id(1), { t1AtMs: 6, reclaimedAtMs: 7 });
    expect(await store.afterlives()).toEqual([]);
    expect(await store.afterlife(id(1))).toEqual({
      ...open1,
      loss: null,
      t1AtMs: 5,
      reclaimedAtMs: 7,
    });
    expect(await store.afterlife(id(2))).toBeUndefined();
  });

  it('keep what a forget was about until it is reclaimed, and no longer', async () => {
    const { store } = await add(temporaryFolder(), 2, 'forget-message');
    expect((await store.afterlife(id(2)))!.target).toMatchObject({ message: id(8) });
    await store.reach(id(2), { t1AtMs: 5 });
    expect((await store.afterlife(id(2)))!.target).toMatchObject({ message: id(8) });
    await store.reach(id(2), { reclaimedAtMs: 6 });
    expect((await store.afterlife(id(2)))!.target).toEqual({});
  });
});

describe.each(adapters.requests)('requests and afterlives of a restored store %s', (_, open) => {
  it('that its original has signed it signs anew, and no others', async () => {
    const table = await open(temporaryFolder());
    const original = fixedMac(1);
    const [theirs, ours] = [
      createRequestStore(table, original),
      createRequestStore(table, fixedMac(2)),
    ];
    const times = { receivedAtMs: 0, changedAtMs: 0 };
    const target = { subject: id(7) };
    const ids = (n: number) => ({ id: id(n), loss: id(n + 100), app: id(1) });
    const request = (n: number) =>
      ({ ...ids(n), kind: 'erase-subject', target, step: 'begun', ...times }) as const;
    for (const n of [1, 2]) await theirs.add(request(n));
    await theirs.finish(request(2), { nowMs: 5, keepsTarget: false, afterTurn: 3 });
    await createRequestStore(table, fixedMac(3)).add(request(3));
    const before = await theirs.afterlives();
    expect(await ours.forged()).toEqual([id(1), id(3), id(2)]);
    for (let again = 0; again < 2; again += 1) {
      await ours.takeOver(original);
      expect(await ours.get(id(1))).toEqual(request(1));
      expect(await ours.get(id(2))).toMatchObject({ step: 'done' });
      expect(await ours.afterlives()).toEqual(before);
      expect(await ours.forged()).toEqual([id(3)]);
    }
    expect(await theirs.get(id(1))).toBeUndefined();
  });
});

describe.each(adapters.accessKeys)('access key store %s', (_, open) => {
  const key = (name: string, app: never | null) => ({
    id: name,
    app,
    scope: 'app' as const,
    wrappedSecret: Buffer.from('wrapped'),
    createdAtMs: 1,
    revokedAtMs: null,
  });

  it('gives keys back, revokes them once, and removes those of an app', async () => {
    const store = await open(temporaryFolder());
    await store.add(key('a', id(1)));
    await store.add(key('b', null));
    expect(await store.find('a')).toEqual(key('a', id(1)));
    expect((await store.list(null)).map((one) => one.id)).toEqual(['b']);
    expect([await store.revoke('a', 9), await store.revoke('a', 9)]).toEqual([true, false]);
    expect((await store.find('a'))!.revokedAtMs).toBe(9);
    await store.removeAll(id(1));
    expect(await store.find('a')).toBeUndefined();
  });
});

describe.each(adapters.clockMark)('clock mark %s', (_, open) => {
  it('only rises, and another process sees it', async () => {
    const folder = temporaryFolder();
    const mark = await open(folder);
    expect(await mark.read()).toBe(0);
    await mark.raise(100);
    await mark.raise(50);
    expect(await (await open(folder)).read()).toBe(100);
  });
});

describe.each(adapters.rootKms)('root KMS %s', (_, open) => {
  it('unwraps what it wrapped, with the same key and context only, in another process too', async () => {
    const folder = temporaryFolder();
    const kms = await open(folder);
    const key = await kms.createKey('store');
    const wrapped = await kms.wrap(key, Buffer.from('secret'), 'context');
    expect(wrapped.includes('secret')).toBe(false);
    const other = await open(folder);
    expect(await other.unwrap(key, wrapped, 'context')).toEqual(Buffer.from('secret'));
    const denied = { code: 'ROOT_KMS_DENIED' };
    await expect(other.unwrap(key, wrapped, 'another')).rejects.toMatchObject(denied);
    const second = await kms.createKey('store');
    await expect(other.unwrap(second, wrapped, 'context')).rejects.toMatchObject(denied);
    wrapped[20] = wrapped[20]! ^ 1;
    await expect(other.unwrap(key, wrapped, 'context')).rejects.toMatchObject(denied);
  });
});
