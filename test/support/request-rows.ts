/** What a request changes in vault and state, kept aside as an attacker with the tables does. */
import type { RequestId } from '../../libs/base/ids.ts';
import { fileOf } from '../../libs/configuration/configuration.ts';
import { rowKinds } from '../../libs/vault/rows/vault-store.ts';
import { createPrivacy } from '../../services/privacy/doors/privacy.ts';
import { watchErasures } from '../../services/privacy/life/enforce.ts';
import { subjectOf } from './reading.ts';
import type { TestStore } from './temporary-store.ts';
import { hex, kindOf, openVault, rowsOf } from './vault-rows.ts';

/** What a request has changed, as it was before; the steps of the request lie aside. */
export async function watchChanges(store: TestStore, work: () => Promise<unknown>) {
  const vault = openVault(fileOf(store.configuration.vault));
  const state = openVault(fileOf(store.configuration.state));
  const before = rowsOf(vault);
  state.exec(`CREATE TABLE IF NOT EXISTS aside (id, step, target, changed_at, code, loss);
    CREATE TRIGGER keep AFTER UPDATE ON requests BEGIN
      INSERT INTO aside SELECT NEW.id, NEW.step, NEW.target, NEW.changed_at, NEW.code, NEW.loss;
    END;
    CREATE TRIGGER keep_first AFTER INSERT ON requests BEGIN
      INSERT INTO aside SELECT NEW.id, NEW.step, NEW.target, NEW.changed_at, NEW.code, NEW.loss;
    END`);
  await work();
  state.exec('DROP TRIGGER keep; DROP TRIGGER keep_first');
  const now = new Map(rowsOf(vault).map((row) => [hex(row), row]));
  const old = before.filter((row) => {
    return now.get(hex(row))?.version !== row.version && kindOf(row) !== rowKinds.listHead;
  });
  const putBack = (step: string) =>
    state.exec(`UPDATE requests SET (step, target, changed_at, code, loss) =
      (SELECT step, target, changed_at, code, loss FROM aside WHERE step = '${step}' LIMIT 1)`);
  return { vault, state, old, putBack };
}

/** What the erasure of ann has changed. */
export async function eraseAnn(store: TestStore) {
  const ann = await subjectOf(store, 'ann');
  let erasure = '' as RequestId;
  const changes = await watchChanges(store, async () => {
    const erased = await createPrivacy(store.backends.privacy()).eraseSubject(store.app.id, ann);
    if (erased.status !== 'done') throw new Error(erased.status);
    erasure = erased.erasure;
  });
  return { ...changes, erasure };
}

/** What who looks often is told of, at two looks. */
export async function lookTwice(store: TestStore): Promise<string[]> {
  const told: string[] = [];
  const look = watchErasures(store.backends.privacy(), ({ message }) => told.push(message));
  for (let i = 0; i < 2; i += 1) await look();
  return told;
}
