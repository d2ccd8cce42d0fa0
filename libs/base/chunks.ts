/** Items of a stream, some at a time: what one round trip takes. The last chunk may be shorter. */
export async function* chunks<Item>(
  items: AsyncIterable<Item>,
  size: number,
): AsyncIterable<Item[]> {
  let chunk: Item[] = [];
  for await (const item of items) {
    chunk.push(item);
    if (chunk.length < size) continue;
    yield chunk;
    chunk = [];
  }
  if (chunk.length > 0) yield chunk;
}
