/**
 * Run as a process of its own: turns the epoch and kills itself (SIGKILL) right before or after the
 * n-th commit in the vault, so that every gap between two commits is met.
 */
import { readConfiguration } from '../../libs/backends/configuration.ts';
import { openBackends } from '../../libs/backends/open-backends.ts';
import { turnEpoch } from '../../services/cli/epoch-commands.ts';

let left = Number(process.argv[2]);

function dieAtZero(): void {
  left -= 1;
  if (left === 0) process.kill(process.pid, 'SIGKILL');
}

const variables = Object.entries(process.env).filter(([name]) => name.startsWith('LETHE_'));
const configuration = readConfiguration(Object.fromEntries(variables));
const backends = await openBackends(configuration);
const vault = backends.vaultStore();
const { commit } = vault;
vault.commit = async (batches) => {
  dieAtZero();
  const outcomes = await commit.call(vault, batches);
  dieAtZero();
  return outcomes;
};
await turnEpoch({ backends, configuration });
await backends.close();
process.stdout.write('finished');
