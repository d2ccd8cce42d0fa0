/** Loaded before the program: collects garbage, twice, at SIGUSR2, and says when it is done. */
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';

setFlagsFromString('--expose-gc');
const collect = runInNewContext('gc') as () => void;
process.on('SIGUSR2', () => {
  collect();
  setTimeout(() => {
    collect();
    process.stderr.write('collected\n');
  }, 50);
});
