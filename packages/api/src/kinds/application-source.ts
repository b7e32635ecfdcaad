import Type, { type Static } from 'typebox';
import { labelSelectorSchema } from './label-selector-schema.ts';

const objectName = (description: string) => Type.String({ minLength: 1, maxLength: 253, description });

/** A key of a ConfigMap or Secret of the Application's namespace at the hub. */
const keyReference = (description: string) =>
  Type.Object(
    { name: objectName('Name of the object.'), key: objectName('Key in its data.') },
    { description },
  );

const secretReference = (description: string) =>
  Type.Object(
    { name: objectName('Name of the Secret, in the namespace of the Application.') },
    { description },
  );

const interval = Type.Optional(
  Type.String({
    default: '3m',
    description:
      'How often it is looked whether it moved, as a duration, at least 10s; a webhook makes it sooner. What names a commit or digest is read once.',
  }),
);

const manifestsSchema = (description: string) =>
  Type.Array(
    Type.Object(
      {},
      {
        'x-kubernetes-embedded-resource': true,
        'x-kubernetes-preserve-unknown-fields': true,
        additionalProperties: true,
      },
    ),
    { description },
  );

/** Where in a repository, and how what stands there becomes manifests. */
const path = Type.Optional(
  Type.String({
    default: '.',
    maxLength: 1000,
    description:
      'Folder in it, relative, with / between; nothing outside of it and of its repository is read.',
  }),
);

export const gitSourceSchema = Type.Object(
  {
    url: Type.String({
      minLength: 1,
      maxLength: 2000,
      description:
        'https://host/path, ssh://user@host/path or user@host:path. Without a password: credentials come from secretRef.',
    }),
    ref: Type.Optional(
      Type.Object(
        {
          branch: Type.Optional(Type.String({ maxLength: 250, description: 'Head of this branch.' })),
          tag: Type.Optional(Type.String({ maxLength: 250, description: 'This tag.' })),
          commit: Type.Optional(
            Type.String({ pattern: '^[0-9a-f]{40}$|^[0-9a-f]{64}$', description: 'Exactly this commit.' }),
          ),
        },
        {
          description: 'At most one. None: the head of the default branch.',
          'x-kubernetes-validations': [
            {
              rule: '[has(self.branch), has(self.tag), has(self.commit)].filter(x, x).size() <= 1',
              message: 'give only one of branch, tag, commit',
            },
          ],
        },
      ),
    ),
    path,
    secretRef: Type.Optional(
      secretReference(
        'Credentials. HTTPS: username and password (or token), ca.crt. SSH: identity, optionally identity.password, known_hosts.',
      ),
    ),
    knownHosts: Type.Optional(
      Type.String({
        maxLength: 20_000,
        description:
          'SSH host keys, as in a known_hosts file; beside those in the Secret. No unknown host is trusted.',
      }),
    ),
    submodules: Type.Optional(Type.Boolean({ description: 'true: submodules are read too.' })),
    interval,
    webhook: Type.Optional(
      Type.Object(
        { secretRef: secretReference('Its key `token` is what the forge signs with, or sends.') },
        {
          description:
            'Lets GitHub, GitLab, Gitea or Forgejo say at /webhooks/v1/NAMESPACE/NAME that something moved.',
        },
      ),
    ),
  },
  {
    description:
      'A folder of a git repository: a kustomization (kustomization.yaml), or else every .yaml, .yml and .json file in it and below.',
  },
);
export type GitSource = Static<typeof gitSourceSchema>;

export const kustomizeSourceSchema = Type.Object(
  {
    kustomization: Type.Object(
      {},
      {
        additionalProperties: true,
        'x-kubernetes-preserve-unknown-fields': true,
        description: 'kustomization.yaml as an object. Resources are files of `files`; nothing is fetched.',
      },
    ),
    files: Type.Optional(
      Type.Record(Type.String(), Type.String(), { description: 'Files beside it, by relative path.' }),
    ),
  },
  { description: 'A kustomization that stands in the Application itself.' },
);

export const helmSourceSchema = Type.Object(
  {
    repository: Type.Optional(
      Type.String({
        maxLength: 2000,
        description: 'https:// address of a chart repository, or oci:// of a registry path.',
      }),
    ),
    chart: Type.Optional(objectName('Name of the chart in it.')),
    version: Type.Optional(
      Type.String({
        maxLength: 250,
        description: 'Version or range (semver) of the chart; default the newest that is no prerelease.',
      }),
    ),
    git: Type.Optional(gitSourceSchema),
    secretRef: Type.Optional(secretReference('Credentials of the repository: username, password, ca.crt.')),
    releaseName: Type.Optional(objectName('.Release.Name; default the name of the Application.')),
    values: Type.Optional(
      Type.Object(
        {},
        {
          additionalProperties: true,
          'x-kubernetes-preserve-unknown-fields': true,
          description: 'Values; over those of valuesFrom.',
        },
      ),
    ),
    valuesFrom: Type.Optional(
      Type.Array(
        Type.Object({
          configMapKeyRef: Type.Optional(keyReference('YAML in a ConfigMap.')),
          secretKeyRef: Type.Optional(
            keyReference('YAML in a Secret. What a chart makes of it stands in the release.'),
          ),
          optional: Type.Optional(Type.Boolean({ description: 'true: it may be missing.' })),
        }),
        { maxItems: 20, description: 'Values from the hub, later ones over earlier ones.' },
      ),
    ),
    interval,
  },
  {
    description:
      'A Helm chart, rendered once, at the hub, by the helm program there. Hooks are left out, tests too.',
    'x-kubernetes-validations': [
      {
        rule: '[has(self.repository), has(self.git)].filter(x, x).size() == 1',
        message: 'give the chart by repository and chart, or by git: exactly one',
      },
      { rule: '!has(self.repository) || has(self.chart)', message: 'chart goes with repository' },
    ],
  },
);
export type HelmSource = Static<typeof helmSourceSchema>;

export const ociSourceSchema = Type.Object(
  {
    reference: Type.String({
      minLength: 1,
      maxLength: 1000,
      description: 'registry/repository:tag or @sha256:digest of an artifact of manifests (Flux, ORAS).',
    }),
    path,
    registryCredential: Type.Optional(
      objectName(
        'RegistryCredential to read it with; default the one of the namespace that names the registry.',
      ),
    ),
    interval,
  },
  { description: 'An OCI artifact: a tar.gz of files, read as a folder of git is, or single YAML layers.' },
);
export type OciSource = Static<typeof ociSourceSchema>;

export const mirrorSourceSchema = Type.Object(
  {
    site: objectName('Site whose agent reads them: one on Kubernetes.'),
    namespaces: Type.Array(Type.String({ minLength: 1, maxLength: 63 }), {
      minItems: 1,
      maxItems: 50,
      description:
        'Namespaces at that site. Objects of the first go to the namespace of the Application, of others to one of the same name.',
      'x-kubernetes-list-type': 'set',
    }),
    selector: labelSelectorSchema,
    kinds: Type.Optional(
      Type.Array(
        Type.Object({
          apiVersion: Type.String({ minLength: 1, maxLength: 253, description: 'As in apps/v1.' }),
          kind: Type.String({ minLength: 1, maxLength: 63, description: 'As in Deployment.' }),
        }),
        {
          minItems: 1,
          maxItems: 50,
          description:
            'Kinds to mirror. Default: Deployment, StatefulSet, DaemonSet, CronJob, Job (not those of a CronJob), Service, ConfigMap, ServiceAccount, PersistentVolumeClaim, Ingress, HorizontalPodAutoscaler, PodDisruptionBudget, NetworkPolicy.',
        },
      ),
    ),
    secrets: Type.Optional(
      Type.Array(Type.String({ minLength: 1, maxLength: 253 }), {
        maxItems: 50,
        description: 'Secrets of the first namespace to mirror too, by name; no other ever is.',
        'x-kubernetes-list-type': 'set',
      }),
    ),
    settle: Type.Optional(
      Type.String({
        default: '5s',
        description: 'How long nothing may change before a change counts as whole, as a duration.',
      }),
    ),
  },
  {
    description:
      'What runs at a site, usually the cloud cluster, without what belongs to that cluster alone.',
  },
);
export type MirrorSource = Static<typeof mirrorSourceSchema>;

export const sourceKinds = ['inline', 'git', 'kustomize', 'helm', 'oci', 'mirror'] as const;
export type SourceKind = (typeof sourceKinds)[number];

export const applicationSourceSchema = Type.Object(
  {
    inline: Type.Optional(
      Type.Object(
        {
          manifests: manifestsSchema(
            'Kubernetes objects, complete. ${site.name}, ${site.variables.NAME} and others differ by site.',
          ),
        },
        { description: 'The manifests stand in the Application itself.' },
      ),
    ),
    git: Type.Optional(gitSourceSchema),
    kustomize: Type.Optional(kustomizeSourceSchema),
    helm: Type.Optional(helmSourceSchema),
    oci: Type.Optional(ociSourceSchema),
    mirror: Type.Optional(mirrorSourceSchema),
  },
  {
    description: 'Where the manifests come from: exactly one of the fields.',
    'x-kubernetes-validations': [
      {
        rule: '[has(self.inline), has(self.git), has(self.kustomize), has(self.helm), has(self.oci), has(self.mirror)].filter(x, x).size() == 1',
        reason: 'FieldValueRequired',
        message:
          'say where the manifests come from: exactly one of inline, git, kustomize, helm, oci, mirror',
      },
    ],
  },
);
export type ApplicationSource = Static<typeof applicationSourceSchema>;

/** What was last read of a source that is not inline. Written when it changed, never for having looked. */
export const sourceStatusSchema = Type.Object(
  {
    kind: Type.String({ description: 'Which source: git, kustomize, helm, oci, mirror.' }),
    revision: Type.String({
      description:
        'What exactly: main@sha1:COMMIT, NAME@VERSION, sha256 of an artifact, or of what the mirrored site had.',
    }),
    digest: Type.String({ description: 'Digest of the manifests that it gave, in the content of the hub.' }),
    /** Digest of the part of the spec that they were made of: another spec needs another look. */
    specDigest: Type.String({ description: 'Digest of the spec that they were made by.' }),
    manifests: Type.Integer({ description: 'How many manifests.' }),
    readTime: Type.String({ format: 'date-time', description: 'When they were read.' }),
    variants: Type.Optional(
      Type.Array(
        Type.Object({
          overrides: Type.Array(Type.String(), { description: 'Names of the overrides with Helm values.' }),
          digest: Type.String({ description: 'Digest of what the chart gives with them.' }),
        }),
        { description: 'Of a chart: what it gives with the values of overrides that meet at some site.' },
      ),
    ),
  },
  { description: 'What the newest release is made of.' },
);
export type SourceStatus = Static<typeof sourceStatusSchema>;
