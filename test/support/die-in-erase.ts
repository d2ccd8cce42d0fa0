/**
 * Run as a process of its own: begins to erase a person and kills itself (SIGKILL) right before or
 * after the n-th durable write, so that every gap between two writes is met.
 */

import { readConfiguration } from '../../libs/backends/configuration.ts';
import { openBackends } from '../../libs/backends/open-backends.ts';
import type { PrivacyPowers } from '../../libs/backends/powers.ts';
import type { SubjectId } from '../../libs/base/ids.ts';
import { createPrivacy } from '../../services/privacy/privacy.ts';

const [appName, subject, count] = process.argv.slice(2);
let left = Number(count);

function dieAtZero(): void {
  left -= 1;
  if (left === 0) process.kill(process.pid, 'SIGKILL');
}

/** Every asynchronous method dies at its turn, before or after its work. */
function dying<Port extends object>(port: Port): Port {
  const wrapped = Object.entries(port).map(([name, method]) => {
    if (typeof method !== 'function') return [name, method];
    const call = async (...given: unknown[]) => {
      dieAtZero();
      const result = await method.apply(port, given);
      dieAtZero();
      return result;
    };
    return [name, call];
  });
  return { ...port, ...Object.fromEntries(wrapped) };
}

const variables = Object.entries(process.env).filter(([name]) => name.startsWith('LETHE_'));
const backends = await openBackends(readConfiguration(Object.fromEntries(variables)));
const powers = backends.privacy();
const app = (await powers.apps.find(appName!))!;
const { shred, puncture, passHolders } = powers.keyring;
const { removeSubject, removeReferences, mark, replacePlace, removeAppRoot } = powers.directory;
const mortal: PrivacyPowers = {
  ...powers,
  requests: dying(powers.requests),
  log: { ...powers.log, ...dying({ append: powers.log.append }) },
  keyring: { ...powers.keyring, ...dying({ shred, puncture, passHolders }) },
  directory: {
    ...powers.directory,
    ...dying({ removeSubject, removeReferences, mark, replacePlace, removeAppRoot }),
  },
};
// The vault's own commits too: between a fence and its entry in the feed, above all.
const vault = backends.vaultStore();
vault.commit = dying({ commit: vault.commit }).commit;
await createPrivacy(mortal).eraseSubject(app.id, subject as SubjectId);
await backends.close();
process.stdout.write('finished');
