/** Erases an app with everything in it: its ring first, its root last. */
import { ringKinds } from '../../../libs/sealing/tree-path.ts';
import { captureApp } from './capture.ts';
import type { Kind } from './kind.ts';

export const eraseApp: Kind<'erase-app'> = {
  approvals: 0,
  takesFrom: () => 'everybody',
  certificate: { commitment: 'SHA-256(salt ‖ app id)', capture: captureApp },
  shred({ app, powers, request }) {
    const ref = { app: app.id, kind: ringKinds.app, id: app.id };
    return powers.keyringShred.shred([ref], request.loss);
  },
  stalePages: () => 'all',
  // The app's own facts went with it: there is nobody left to tell.
  finish: async () => undefined,
  async end({ accessKeyStore, directoryShred, holders }, { app, loss }) {
    await accessKeyStore.removeAll(app);
    await directoryShred.removeAppRoot(app, loss);
    await holders.passHolders();
  },
  lostEvents: { by: 'app' },
  isThereAgain: async () => true,
  matcher: async () => () => true,
};
