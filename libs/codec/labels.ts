/**
 * Every domain-separation label in one place: 16 ASCII bytes, zero-padded, one per use and
 * version. A label is never changed or used twice; a new use gets a new line.
 */
function label(text: string): Buffer {
  const out = Buffer.alloc(16);
  if (out.write(text, 'ascii') !== text.length || text.length > 16) {
    throw new RangeError(`label too long: ${text}`);
  }
  return out;
}

/** The first 16 bytes of everything that is hashed or wrapped, one for each use. */
export const labels = {
  treeNode: label('lethe.node.v1'),
  thingPath: label('lethe.thing.v1'),
  appPart: label('lethe.apppart.v1'),
  eventKey: label('lethe.evkey.v1'),
  eventId: label('lethe.evid.v1'),
  identityIndex: label('lethe.ident.v1'),
  conversationIndex: label('lethe.conv.v1'),
  aliasIndex: label('lethe.alias.v1'),
  deliveryIndex: label('lethe.deliv.v1'),
  deliverySaid: label('lethe.said.v1'),
  nameMark: label('lethe.name.v1'),
  fieldName: label('lethe.field.v1'),
  member: label('lethe.member.v1'),
  loss: label('lethe.loss.v1'),
  wrap: label('lethe.wrap.v1'),
  segment: label('lethe.segm.v1'),
  localKms: label('lethe.lkms.v1'),
  erasureList: label('lethe.list.v1'),
  attack: label('lethe.attack.v1'),
  cachedPage: label('lethe.page.v1'),
  cursor: label('lethe.cursor.v1'),
  door: label('lethe.door.v1'),
  request: label('lethe.request.v1'),
  afterlife: label('lethe.after.v1'),
  lossMask: label('lethe.lmask.v1'),
  turn: label('lethe.turn.v1'),
  restored: label('lethe.placed.v1'),
  logRecord: label('lethe.record.v1'),
  feedEntry: label('lethe.feed.v1'),
  feedHolder: label('lethe.holder.v1'),
  feedRoster: label('lethe.roster.v1'),
} as const;
