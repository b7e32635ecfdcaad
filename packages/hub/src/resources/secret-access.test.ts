import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import {
  type Application,
  type ApplicationSpec,
  applications,
  type ClusterRole,
  clusterRoles,
  isStatusError,
  type MirrorSource,
  type RegistryCredential,
  type RegistryCredentialSpec,
  registryCredentials,
} from '@selvedge/api';
import { ResourceLab } from './testing/resource-lab.ts';

let lab: ResourceLab;

before(async () => {
  lab = await ResourceLab.start();
  const write = ['create', 'get', 'update', 'patch'];
  const rule = (verbs: string[], what: string, resourceNames?: string[]) => ({
    verbs,
    apiGroups: [what.split(':')[0] ?? ''],
    resources: what.split(':')[1]?.split(',') ?? [],
    ...(resourceNames === undefined ? {} : { resourceNames }),
  });
  const own = rule(write, 'selvedge.dev:applications,registrycredentials');
  // Ed may read one Secret, Ann all of them and more.
  await grant('ed', [
    own,
    rule(['get'], ':secrets', ['open']),
    // Neither is a right to what the site's agent may read.
    rule(['get', 'create'], 'selvedge.dev:sites/proxy'),
    rule(['get', 'list', 'update', 'patch'], 'selvedge.dev:sites'),
  ]);
  await grant('moe', [own, rule(['mirror'], 'selvedge.dev:sites', ['cloud'])]);
  await grant('ann', [
    own,
    rule(['get'], ':secrets'),
    rule(['get'], ':configmaps'),
    rule(['mirror', 'mirror-secrets'], 'selvedge.dev:sites', ['cloud']),
    rule(['use'], 'selvedge.dev:registrycredentials', ['hub-environment']),
  ]);
});

after(() => lab[Symbol.asyncDispose]());

async function grant(name: string, rules: object[]): Promise<void> {
  await lab.makeRole(name, rules);
  await lab.bind(name, name);
}

const as = (name: string) => lab.as(name);
let count = 0;

function createApplication(user: string, spec: Partial<ApplicationSpec>): Promise<Application> {
  const manifests = [{ apiVersion: 'v1', kind: 'ConfigMap', metadata: { name: 'page' } }];
  return as(user).create<Application>(applications, {
    apiVersion: 'selvedge.dev/v1alpha1',
    kind: 'Application',
    metadata: { namespace: 'default', name: `till-${++count}` },
    spec: { source: { inline: { manifests } }, placement: { siteSelector: {} }, ...spec },
  });
}

function createCredential(user: string, spec: Partial<RegistryCredentialSpec>): Promise<RegistryCredential> {
  return as(user).create<RegistryCredential>(registryCredentials, {
    apiVersion: 'selvedge.dev/v1alpha1',
    kind: 'RegistryCredential',
    metadata: { namespace: 'default', name: `images-${++count}` },
    spec: { registries: ['registry.example'], ...spec },
  });
}

async function assertForbidden(attempt: Promise<unknown>, path: RegExp): Promise<void> {
  await assert.rejects(attempt, (error) => {
    assert.ok(isStatusError(error, 'Forbidden'), String(error));
    assert.match(error.message, path);
    return true;
  });
}

function mirrorOf(site: string, secrets: string[] = []): MirrorSource {
  return { site, namespaces: ['shop'], selector: {}, secrets };
}

const url = 'https://git.example/app';
const naming: readonly [string, Partial<ApplicationSpec>, RegExp][] = [
  ['spec.secrets', { secrets: [{ name: 'open' }, { name: 'safe' }] }, /spec\.secrets\[1\]\.name.*"safe"/],
  ['git', { source: { git: { url, secretRef: { name: 'safe' } } } }, /spec\.source\.git\.secretRef/],
  [
    'the webhook',
    { source: { git: { url, webhook: { secretRef: { name: 'safe' } } } } },
    /spec\.source\.git\.webhook\.secretRef/,
  ],
  [
    'a chart',
    {
      source: { helm: { repository: 'https://charts.example', chart: 'till', secretRef: { name: 'safe' } } },
    },
    /spec\.source\.helm\.secretRef/,
  ],
  [
    'values of a chart',
    {
      source: {
        helm: {
          repository: 'https://charts.example',
          chart: 'till',
          valuesFrom: [{ secretKeyRef: { name: 'safe', key: 'values' } }],
        },
      },
    },
    /valuesFrom\[0\]\.secretKeyRef/,
  ],
  [
    'a mirrored site, past its own RBAC',
    { source: { mirror: mirrorOf('cloud') } },
    /mirror reads the cluster of site "cloud".*verb "mirror".*selvedge:site-mirrorer/,
  ],
  [
    'a ConfigMap, in a variable',
    {
      variables: [
        { name: 'a', from: [{ siteVariable: 'a' }, { configMapKeyRef: { name: 'texts', key: 'a' } }] },
      ],
    },
    /spec\.variables\[0\]\.from\[1\]\.configMapKeyRef\.name names the ConfigMap "texts"/,
  ],
  [
    'a ConfigMap, in values of a chart',
    {
      source: {
        helm: {
          repository: 'https://charts.example',
          chart: 'till',
          valuesFrom: [{ configMapKeyRef: { name: 'texts', key: 'values' } }],
        },
      },
    },
    /valuesFrom\[0\]\.configMapKeyRef/,
  ],
];

for (const [what, spec, path] of naming) {
  test(`who may not get a Secret cannot send it anywhere by an Application: ${what}`, async () => {
    await assertForbidden(createApplication('ed', spec), path);
    await createApplication('ann', spec);
  });
}

test('a mirror takes the right for that very Site, and another one for its Secrets', async () => {
  await createApplication('moe', { source: { mirror: mirrorOf('cloud') } });
  await assertForbidden(createApplication('moe', { source: { mirror: mirrorOf('moon') } }), /"moon"/);
  const withSecret = { source: { mirror: mirrorOf('cloud', ['keys']) } };
  await assertForbidden(
    createApplication('moe', withSecret),
    /Secrets in the cluster.*verb "mirror-secrets".*selvedge:site-secrets-mirrorer/,
  );
  await createApplication('ann', withSecret);
});

test('of the default roles only those for it let mirror a site', async () => {
  const all = await lab.admin.list<ClusterRole>(clusterRoles);
  const holders = (verb: string) =>
    all.items
      .filter(({ rules = [] }) => rules.some((one) => one.verbs.includes(verb)))
      .map(({ metadata }) => metadata.name)
      .filter((name) => name.startsWith('selvedge:') || ['view', 'edit', 'admin'].includes(name));
  assert.deepEqual(holders('mirror').toSorted(), [
    'selvedge:fleet-admin',
    'selvedge:site-mirrorer',
    'selvedge:site-secrets-mirrorer',
  ]);
  assert.deepEqual(holders('mirror-secrets'), ['selvedge:site-secrets-mirrorer']);
});

test('who may get the Secret may name it', async () => {
  await createApplication('ed', { secrets: [{ name: 'open' }] });
});

test('an Application that names a Secret is changed only by those who may get it; pausing takes no such right', async () => {
  const { metadata } = await createApplication('ann', { secrets: [{ name: 'safe' }] });
  const patch = (spec: object) => as('ed').mergePatch(applications, metadata, { spec });
  await assertForbidden(patch({ placement: { siteSelector: { matchLabels: { mine: 'yes' } } } }), /"safe"/);
  await patch({ paused: true });
  await as('ed').mergePatch(applications, metadata, { metadata: { labels: { seen: 'yes' } } });
});

test('who may not get a Secret cannot make a login of it', async () => {
  await assertForbidden(
    createCredential('ed', { static: { secretRef: { name: 'safe' } } }),
    /spec\.static\.secretRef/,
  );
  const { metadata } = await createCredential('ann', { static: { secretRef: { name: 'safe' } } });
  const move = as('ed').mergePatch(registryCredentials, metadata, { spec: { registries: ['mine.example'] } });
  await assertForbidden(move, /"safe"/);
});

test("the hub's own identity at AWS is for those who have the verb use", async () => {
  const ecr = { region: 'eu-central-1' };
  await assertForbidden(createCredential('ed', { ecr }), /hub-environment/);
  await createCredential('ann', { ecr });
});

test('registries and endpoints that are none are refused with their path', async () => {
  const refused = (spec: Partial<RegistryCredentialSpec>, path: RegExp) =>
    assert.rejects(createCredential('ann', spec), path);
  const fixed = { static: { secretRef: { name: 'safe' } } };
  await refused({ registries: ['https://registry.example'], ...fixed }, /spec\.registries\[0\]/);
  await refused({ registries: ['registry.example/app:1'], ...fixed }, /spec\.registries\[0\]/);
  await refused({ registries: [], ...fixed }, /spec\.registries/);
  await refused({}, /exactly one of static, ecr/);
  const endpoint = 'https://user:password@ecr.example/';
  await refused({ ecr: { region: 'eu-central-1', endpoint } }, /spec\.ecr\.endpoint/);
});
