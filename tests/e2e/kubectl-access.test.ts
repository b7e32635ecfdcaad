import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { createLogger, systemClock } from '@selvedge/api/node';
import { type Hub, startHub } from '@selvedge/hub';
import { requireTool } from '@selvedge/testkit';
import { findKubectls, Kubectl } from './kubectl-program.ts';

/** Since then `auth whoami` asks for what the hub serves. */
const oldestMinor = 27;

describe('access with kubectl', { ...requireTool('kubectl'), concurrency: false }, () => {
  let directory: string;
  let hub: Hub;
  before(async () => {
    directory = mkdtempSync(join(tmpdir(), 'selvedge-access-hub-'));
    hub = await startHub({
      data: directory,
      listen: '127.0.0.1:0',
      logger: createLogger({ level: 'error' }),
    });
  });
  after(async () => {
    await hub.close();
    rmSync(directory, { recursive: true });
  });

  const versions = findKubectls().filter(({ minor }) => minor >= oldestMinor);
  for (const version of versions) {
    /** Those between the oldest and the newest show what changes from version to version. */
    const isFull = version === versions.at(0) || version === versions.at(-1);
    describe(version.version, { concurrency: false }, () => {
      const namespace = `access-${version.minor}`;
      let kubectl: Kubectl;
      before(async () => {
        kubectl = new Kubectl(version.path, { kubeconfig: hub.kubeconfigPath, folder: directory });
        await kubectl.run(['create', 'namespace', namespace]);
      });
      const as = (user: string, ...args: string[]) => [...args, '--as', user, '-n', namespace];
      /** A binding counts some milliseconds after it was made. */
      const eventually = async (args: readonly string[], wanted: string) => {
        for (let attempt = 1; ; attempt++) {
          const { stdout, stderr } = await kubectl.try(args);
          if (stdout.trim() === wanted) return;
          assert.ok(attempt < 50, `${args.join(' ')}: ${stdout}${stderr}`);
          await systemClock.sleep(50);
        }
      };

      test('a team gets a namespace, a reader sees it but for secrets', async () => {
        const bind = (name: string, role: string, user: string) =>
          kubectl.run([
            'create',
            'rolebinding',
            name,
            `--clusterrole=${role}`,
            `--user=${user}`,
            '-n',
            namespace,
          ]);
        await bind('team', 'edit', 'bob');
        await bind('reader', 'view', 'ann');
        await eventually(as('bob', 'auth', 'can-i', 'create', 'configmaps'), 'yes');
        await eventually(as('ann', 'auth', 'can-i', 'list', 'configmaps'), 'yes');
        await eventually(as('ann', 'auth', 'can-i', 'list', 'secrets'), 'no');
        await eventually(['auth', 'can-i', 'create', 'configmaps', '--as', 'bob', '-n', 'default'], 'no');
        await eventually(as('bob', 'auth', 'can-i', 'get', '/metrics'), 'no');
        await eventually(as('bob', 'auth', 'can-i', 'get', '/apis'), 'yes');
        await kubectl.run(as('bob', 'create', 'secret', 'generic', 'till', '--from-literal=key=value'));
        await kubectl.run(as('ann', 'get', 'configmaps,releases,rollouts,deliveries'));
        const refused = await kubectl.fail(as('ann', 'get', 'secrets'));
        assert.match(refused, /User "ann" cannot list resource "secrets" in API group "" in the namespace/);
      });

      test('auth can-i --list shows what a user may do', async () => {
        const list = await kubectl.run(as('ann', 'auth', 'can-i', '--list'));
        assert.match(list, /configmaps +\[\] +\[\] +\[get list watch\]/);
        assert.doesNotMatch(list, /secrets/);
        assert.match(await kubectl.run(['auth', 'can-i', '--list']), /\*\.\* +\[\] +\[\] +\[\*\]/);
      });

      test('auth whoami shows whom one acts as', async () => {
        const identity = await kubectl.run([
          'auth',
          'whoami',
          '-o',
          'json',
          ...as('bob'),
          '--as-group',
          'a,b',
          '--as-uid',
          '7',
        ]);
        const { userInfo } = (JSON.parse(identity) as { status: { userInfo: Record<string, unknown> } })
          .status;
        assert.deepEqual(userInfo, { username: 'bob', uid: '7', groups: ['a,b', 'system:authenticated'] });
      });

      if (!isFull) return;

      test('roles are made, described and kept from growing', async () => {
        await kubectl.run([
          'create',
          'rolebinding',
          'lead',
          '--clusterrole=admin',
          '--user=carl',
          '-n',
          namespace,
        ]);
        await eventually(as('carl', 'auth', 'can-i', 'create', 'roles.rbac.authorization.k8s.io'), 'yes');
        await kubectl.run(as('carl', 'create', 'role', 'small', '--verb=get,list', '--resource=configmaps'));
        assert.match(
          await kubectl.run(as('carl', 'describe', 'role', 'small')),
          /configmaps +\[\] +\[\] +\[get list\]/,
        );
        const role = ['create', 'role', 'big', '--verb=get', '--resource=enrollmenttokens.selvedge.dev'];
        const refused = await kubectl.fail(as('carl', ...role));
        assert.match(
          refused,
          /user "carl" \(groups=\["system:authenticated"\]\) is attempting to grant RBAC permissions not currently held:/,
        );
        assert.match(
          refused,
          /\{APIGroups:\["selvedge\.dev"\], Resources:\["enrollmenttokens"\], Verbs:\["get"\]\}/,
        );
        const bind = as('carl', 'create', 'rolebinding', 'all', '--clusterrole=cluster-admin', '--user=carl');
        assert.match(await kubectl.fail(bind), /\{NonResourceURLs:\["\*"\], Verbs:\["\*"\]\}/);
        await kubectl.run(as('carl', 'create', 'rolebinding', 'ok', '--role=small', '--serviceaccount=x:y'));
        const wide = await kubectl.run(['get', 'rolebindings', 'ok', '-o', 'wide', '-n', namespace]);
        assert.match(wide, /Role\/small .*x\/y/);
      });

      test('roles of the cluster are made, aggregated, applied and reconciled', async () => {
        const name = `sites-${version.minor}`;
        const label = 'rbac.authorization.k8s.io/aggregate-to-view=true';
        await kubectl.run([
          'create',
          'clusterrole',
          name,
          '--verb=get',
          '--resource=sites.selvedge.dev',
          '--non-resource-url=/x/*',
        ]);
        await kubectl.run(['create', 'clusterrole', `${name}-all`, `--aggregation-rule=${label}`]);
        const rules = ['get', 'clusterrole', `${name}-all`, '-o', 'jsonpath={.rules[*].resources[*]}'];
        for (let attempt = 1; !(await kubectl.run(rules)).includes('configmaps'); attempt++) {
          assert.ok(attempt < 50, 'it was never aggregated');
          await systemClock.sleep(50);
        }
        await kubectl.run(['create', 'clusterrolebinding', name, `--clusterrole=${name}`, '--group=ops']);
        await eventually(['auth', 'can-i', 'get', 'sites', '--as', 'olga', '--as-group', 'ops'], 'yes');
        const yaml = await kubectl.run(['get', 'clusterrole', name, '-o', 'yaml']);
        await kubectl.run(['auth', 'reconcile', '-f', '-'], { input: yaml });
        await kubectl.run(['apply', '-f', '-'], { input: yaml });
        await kubectl.run(['delete', 'clusterrolebinding', name]);
        await eventually(['auth', 'can-i', 'get', 'sites', '--as', 'olga', '--as-group', 'ops'], 'no');
      });

      test('a quota is made, kept to and described', async () => {
        const quota = [
          'create',
          'quota',
          'small',
          '--hard=count/applications.selvedge.dev=0,configmaps=1',
          '-n',
          namespace,
        ];
        await kubectl.run(quota);
        const create = (name: string) => ['create', 'configmap', name, '-n', namespace];
        const used = ['get', 'quota', 'small', '-n', namespace, '-o', 'jsonpath={.status.used.configmaps}'];
        await eventually(used, '0');
        await kubectl.run(create('one'));
        assert.match(
          await kubectl.fail(create('two')),
          /exceeded quota: small, requested: configmaps=1, used: configmaps=1, limited: configmaps=1/,
        );
        const described = await kubectl.run(['describe', 'quota', 'small', '-n', namespace]);
        assert.match(described, /configmaps +1 +1/);
        assert.match(described, /count\/applications\.selvedge\.dev +0 +0/);
        await kubectl.run(['delete', 'configmap', 'one', '-n', namespace]);
        await eventually(used, '0');
        await kubectl.run(create('two'));
      });
    });
  }
});
