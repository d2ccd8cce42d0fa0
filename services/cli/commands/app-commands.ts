/** `lethe apps` and `lethe keys`. */
import type { Command } from 'commander';
import { type AccessScope, accessScopes } from '../../../libs/access/access-key-store.ts';
import { LetheError } from '../../../libs/base/lethe-error.ts';
import type { SpellingRules } from '../../../libs/conversation/spelling-rules.ts';
import { openBackends } from '../../../libs/wiring/open-backends.ts';
import { createApp } from '../../operations/create-app.ts';
import { revokeKey } from '../../operations/revoke-key.ts';
import { findApp, withStore } from '../open-store.ts';
import { CommandEnd, exitCodes, printResult } from '../terminal.ts';

/** Adds the commands. */
export function addAppCommands(program: Command): void {
  const apps = program.command('apps').description('tenants: create, list');
  apps
    .command('create')
    .description('make an app')
    .argument('<name>', 'lower-case letters, digits and hyphens')
    .option('--buckets <n>', 'how many buckets its keys are spread over, for good', Number)
    .option(
      '--spell <channel=rule...>',
      'how identities of a channel are spelled, for good: text, email, phone, phone:DE',
    )
    .option('--json', 'print JSON')
    .action((name: string, options) =>
      withStore(async ({ backends }) => {
        const buckets = options.buckets === undefined ? {} : { buckets: options.buckets };
        const spellingRules = readRules(options.spell ?? []);
        const powers = backends.administration();
        const app = await createApp(powers, { name, ...buckets, spellingRules });
        const { id } = app;
        printResult(options.json, { app: { id, name, buckets: app.buckets, spellingRules } }, [
          `app ${name} made, id ${id}`,
        ]);
      }, openBackends),
    );
  apps
    .command('list')
    .description('all apps, oldest first')
    .option('--json', 'print JSON')
    .action((options) =>
      withStore(async ({ backends }) => {
        const list = await backends.administration().apps.list();
        const shown = list.map(({ id, name, buckets, createdAt, spellingRules }) => {
          const made = new Date(createdAt).toISOString();
          return { id, name, buckets, createdAt: made, spellingRules };
        });
        const lines = shown.map(({ id, name, spellingRules }) => {
          const rules = Object.entries(spellingRules).map((rule) => `  ${rule.join('=')}`);
          return `${id}  ${name}${rules.join('')}`;
        });
        printResult(options.json, { apps: shown }, lines.length === 0 ? ['no apps'] : lines);
      }),
    );
  addKeyCommands(program);
}

/** `whatsapp=phone`; the last one counts. Whether it is a rule is looked at where it is kept. */
function readRules(given: readonly string[]): SpellingRules {
  const rules = given.map((one) => {
    const at = one.lastIndexOf('=');
    if (at > 0) return [one.slice(0, at), one.slice(at + 1)] as const;
    throw new LetheError('INPUT_INVALID', '--spell: expected CHANNEL=RULE, as in whatsapp=phone');
  });
  return Object.fromEntries(rules);
}

function readScope(text: string): AccessScope {
  const scope = accessScopes.find((one) => one === text);
  if (scope !== undefined) return scope;
  throw new LetheError('INPUT_INVALID', `--scope: expected one of ${accessScopes.join(', ')}`);
}

function addKeyCommands(program: Command): void {
  const keys = program.command('keys').description('access keys: create, list, revoke');
  keys
    .command('create')
    .description('make a key; its secret is shown once')
    .option('--app <app>', 'name or id of the app (not with --scope account)')
    .option('--scope <scope>', 'integration, app or account', 'integration')
    .option('--json', 'print JSON')
    .action((options) =>
      withStore(
        async ({ backends }) => {
          const scope = readScope(options.scope);
          if (scope === 'account' && options.app !== undefined) {
            const text =
              '--scope account reaches every app: leave --app out, or take another scope';
            throw new LetheError('INPUT_INVALID', text);
          }
          const app = scope === 'account' ? null : (await findApp(backends, options.app)).id;
          const powers = backends.administration();
          const nowMs = powers.clock.nowMs();
          const key = await powers.accessKeys.create({ app, scope, nowMs });
          printResult(options.json, { key: { id: key.id, secret: key.secret, scope, app } }, [
            `key id  ${key.id}`,
            `secret  ${key.secret}`,
            'The secret is shown this once.',
          ]);
          // Where an app is named there must be a store that has it.
        },
        options.scope === 'account' ? openBackends : undefined,
      ),
    );
  keys
    .command('list')
    .description('keys, without their secrets')
    .option('--app <app>', 'name or id of the app; without it, all keys')
    .option('--json', 'print JSON')
    .action((options) =>
      withStore(async ({ backends }) => {
        const { apps, accessKeyStore } = backends.administration();
        const list =
          options.app === undefined
            ? [null, ...(await apps.list())]
            : [await findApp(backends, options.app)];
        const rows = [];
        for (const app of list) rows.push(...(await accessKeyStore.list(app?.id ?? null)));
        const shown = rows.map(({ id, app, scope, createdAtMs, revokedAtMs }) => {
          const createdAt = new Date(createdAtMs).toISOString();
          return { id, app, scope, createdAt, revoked: revokedAtMs !== null };
        });
        const lines = shown.map((key) => {
          const parts = [key.id, key.scope, key.app ?? 'all apps', key.revoked ? 'revoked' : ''];
          return parts.join('  ').trimEnd();
        });
        printResult(options.json, { keys: shown }, lines.length === 0 ? ['no keys'] : lines);
      }),
    );
  keys
    .command('revoke')
    .description('end a key at once, also on open streams')
    .argument('<id>', 'id of the key')
    .option('--json', 'print JSON')
    .action((id: string, options) =>
      withStore(async ({ backends }) => {
        if (!(await revokeKey(backends.administration(), id))) {
          throw new CommandEnd(exitCodes.notFound, 'there is no such key, or it was revoked');
        }
        printResult(options.json, { revoked: id }, [`key ${id} revoked`]);
      }),
    );
}
