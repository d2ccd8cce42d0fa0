/** Makes an app with its own rings: the app's, its facts' owner's, their place's. */

import { LetheError } from '../../libs/base/lethe-error.ts';
import { labels } from '../../libs/codec/labels.ts';
import { ringKinds } from '../../libs/sealing/tree-path.ts';
import type { App, NewApp } from '../../libs/vault/keys/app-registry.ts';
import type { AdministrationPowers } from '../../libs/wiring/powers.ts';

/**
 * Makes an app. `buckets`: how many its keys are spread over, for good. Throws NAME_TAKEN,
 * INPUT_INVALID, VAULT_UNREACHABLE.
 */
export async function createApp(powers: AdministrationPowers, options: NewApp): Promise<App> {
  // First: a vault with apps beside a state without a mark tells that the state was lost.
  await powers.markState();
  const app = await powers.apps.create({ ...options, nowMs: powers.clock.nowMs() });
  if (app === 'exists') {
    throw new LetheError('NAME_TAKEN', 'there is an app of this name: choose another');
  }
  await powers.keyringCreate.create([
    { app: app.id, kind: ringKinds.app, id: app.id },
    { app: app.id, kind: ringKinds.owner, id: app.id },
    { app: app.id, kind: ringKinds.place, id: app.factsPlace },
  ]);
  // Made here, so that every copy of the vault has the key that authenticates its lists.
  await powers.storeMac.mac(labels.erasureList, []);
  return app;
}
