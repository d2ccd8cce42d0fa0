/** The state of one store into another: what is there already is left as it is. */
import type { StateStores } from '../../libs/wiring/opened-stores.ts';

const DELIVERIES_PER_LOAD = 500;

/** How many of each were copied. */
export interface CopiedState {
  readonly deliveries: number;
  readonly requests: number;
  readonly accessKeys: number;
}

type States = Pick<StateStores, 'deliveries' | 'requests' | 'accessKeys' | 'clockMark'>;

/** Copies; it can be run again. Failures: STATE_UNREACHABLE, STORE_FULL. */
export async function copyState(from: States, to: States): Promise<CopiedState> {
  let [deliveries, requests, accessKeys] = [0, 0, 0];
  let app: Parameters<typeof to.deliveries.load>[0] | undefined;
  let rows: Parameters<typeof to.deliveries.load>[1][number][] = [];
  const flush = async () => {
    if (app !== undefined) await to.deliveries.load(app, rows);
    deliveries += rows.length;
    rows = [];
  };
  for await (const one of from.deliveries.all()) {
    if (one.app !== app || rows.length >= DELIVERIES_PER_LOAD) await flush();
    app = one.app;
    rows.push(one.row);
  }
  await flush();
  for await (const request of from.requests.all()) {
    await to.requests.add(request);
    requests += 1;
  }
  for await (const one of from.requests.allAfterlives()) await to.requests.addAfterlife(one);
  for await (const key of from.accessKeys.all()) {
    if ((await to.accessKeys.find(key.id)) === undefined) await to.accessKeys.add(key);
    if (key.revokedAtMs !== null) await to.accessKeys.revoke(key.id, key.revokedAtMs);
    accessKeys += 1;
  }
  await to.clockMark.raise(await from.clockMark.read());
  return { deliveries, requests, accessKeys };
}
