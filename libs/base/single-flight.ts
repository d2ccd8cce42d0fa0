/** Concurrent callers that want the same thing share one attempt; a failed attempt is not kept. */

/** Runs `load(key)` once for any number of parallel calls with the same key. */
export function createSingleFlight<Value>(
  load: (key: string) => Promise<Value>,
): (key: string) => Promise<Value> {
  const flying = new Map<string, Promise<Value>>();
  return (key) => {
    const current = flying.get(key);
    if (current !== undefined) return current;
    const attempt = load(key).finally(() => flying.delete(key));
    flying.set(key, attempt);
    return attempt;
  };
}
