/** Loaded before the program: asks it to end in the moment in which it says that it listens. */
const write = process.stdout.write.bind(process.stdout);
process.stdout.write = ((...given: Parameters<typeof write>) => {
  const isTaken = write(...given);
  if (String(given[0]).includes('listening')) process.kill(process.pid, 'SIGTERM');
  return isTaken;
}) as typeof process.stdout.write;
