import Type, { type Static } from 'typebox';
import { labelSelectorSchema } from './label-selector-schema.ts';

const freeObject = (description: string) =>
  Type.Object({}, { additionalProperties: true, 'x-kubernetes-preserve-unknown-fields': true, description });

const name = Type.String({
  minLength: 1,
  maxLength: 63,
  pattern: '^[a-z0-9]([-a-z0-9]*[a-z0-9])?$',
  description: 'Name, unique in the list: a DNS label.',
});

const patchTargetSchema = Type.Object(
  {
    group: Type.Optional(Type.String({ description: 'API group; absent: any.' })),
    kind: Type.Optional(Type.String({ description: 'Kind; absent: any.' })),
    name: Type.Optional(Type.String({ description: 'metadata.name; absent: any.' })),
    namespace: Type.Optional(Type.String({ description: 'metadata.namespace; absent: any.' })),
    labelSelector: Type.Optional(labelSelectorSchema),
  },
  { description: 'Which manifests: those to which all of it applies.' },
);

const patchSchema = Type.Object(
  {
    target: patchTargetSchema,
    jsonPatch: Type.Optional(
      Type.Array(
        Type.Object(
          {
            op: Type.String({ description: 'add, remove, replace, move, copy or test.' }),
            path: Type.String({ description: 'JSON pointer.' }),
            from: Type.Optional(Type.String({ description: 'JSON pointer, for move and copy.' })),
          },
          { additionalProperties: true, 'x-kubernetes-preserve-unknown-fields': true },
        ),
        { minItems: 1, maxItems: 100, description: 'RFC 6902.' },
      ),
    ),
    mergePatch: Type.Optional(freeObject('RFC 7386: null removes.')),
    strategicMergePatch: Type.Optional(
      freeObject('As kubectl patch --type strategic: lists of Kubernetes are merged by their keys.'),
    ),
    optional: Type.Optional(
      Type.Boolean({
        description: 'true: it may match nothing. Otherwise that is an error, and no release is made.',
      }),
    ),
  },
  {
    'x-kubernetes-validations': [
      {
        rule: '[has(self.jsonPatch), has(self.mergePatch), has(self.strategicMergePatch)].filter(x, x).size() == 1',
        message: 'give exactly one of jsonPatch, mergePatch, strategicMergePatch',
      },
    ],
  },
);
export type OverridePatch = Static<typeof patchSchema>;

/** How some sites differ. Within one override: patches, then images, then replicas. */
export const overrideSchema = Type.Object({
  name,
  siteSelector: labelSelectorSchema,
  patches: Type.Optional(
    Type.Array(patchSchema, { maxItems: 50, description: 'Changes to manifests, in order.' }),
  ),
  images: Type.Optional(
    Type.Array(
      Type.Object({
        name: Type.String({
          minLength: 1,
          maxLength: 500,
          description: 'Image without tag and digest, as the manifests name it.',
        }),
        newName: Type.Optional(
          Type.String({ maxLength: 500, description: 'Another name, without tag and digest.' }),
        ),
        newTag: Type.Optional(Type.String({ maxLength: 128, description: 'Another tag.' })),
        digest: Type.Optional(
          Type.String({ pattern: '^sha256:[0-9a-f]{64}$', description: 'Digest; instead of a tag.' }),
        ),
      }),
      { maxItems: 50, description: 'Other images, as in a kustomization.' },
    ),
  ),
  replicas: Type.Optional(
    Type.Array(
      Type.Object({
        name: Type.String({
          minLength: 1,
          maxLength: 253,
          description: 'Deployment, StatefulSet or ReplicaSet.',
        }),
        count: Type.Integer({ minimum: 0, description: 'Its replicas.' }),
      }),
      { maxItems: 50, description: 'Other numbers of replicas, as in a kustomization.' },
    ),
  ),
  helmValues: Type.Optional(freeObject('With source helm: values over those of the source.')),
});
export type Override = Static<typeof overrideSchema>;

const scalar = (description: string) =>
  Type.Union([Type.String(), Type.Number(), Type.Boolean()], {
    description,
    'x-kubernetes-preserve-unknown-fields': true,
  });

/** A value that manifests name `${variables.NAME}`: the first of `from` that is there, else `default`. */
export const variableSchema = Type.Object({
  name: Type.String({
    pattern: '^[A-Za-z_][A-Za-z0-9_-]{0,62}$',
    description: 'Name, for ${variables.NAME}.',
  }),
  from: Type.Optional(
    Type.Array(
      Type.Object(
        {
          siteVariable: Type.Optional(
            Type.String({ description: 'This entry of spec.variables of the Site.' }),
          ),
          siteLabel: Type.Optional(Type.String({ description: 'The value of this label of the Site.' })),
          configMapKeyRef: Type.Optional(
            Type.Object(
              {
                name: Type.String({
                  description: 'ConfigMap of the namespace of the Application, at the hub.',
                }),
                key: Type.String({
                  description: 'Key in it. ${site.name} in it stands for the name of the site.',
                }),
              },
              { description: 'A value of a ConfigMap at the hub, as it is when the release is made.' },
            ),
          ),
        },
        {
          'x-kubernetes-validations': [
            {
              rule: '[has(self.siteVariable), has(self.siteLabel), has(self.configMapKeyRef)].filter(x, x).size() == 1',
              message: 'give exactly one of siteVariable, siteLabel, configMapKeyRef',
            },
          ],
        },
      ),
      {
        minItems: 1,
        maxItems: 10,
        description: 'Where to look, in order. Default: the variable of this name of the Site.',
      },
    ),
  ),
  default: Type.Optional(
    scalar('When it is found nowhere. Without it a site that has none is not given the release.'),
  ),
  description: Type.Optional(Type.String({ maxLength: 500, description: 'What it is, for people.' })),
});
export type Variable = Static<typeof variableSchema>;

export const overridesSchema = Type.Array(overrideSchema, {
  maxItems: 100,
  description: 'How sites differ: all that select a site are applied, in this order. Part of the release.',
  'x-kubernetes-list-type': 'map',
  'x-kubernetes-list-map-keys': ['name'],
});

export const variablesSchema = Type.Array(variableSchema, {
  maxItems: 100,
  description: 'Values that differ by site, or stand in ConfigMaps of the hub. Part of the release.',
  'x-kubernetes-list-type': 'map',
  'x-kubernetes-list-map-keys': ['name'],
});

/** Secrets of the hub that go to the sites of the application, sealed to each. */
export const sitedSecretsSchema = Type.Array(
  Type.Object({
    name: Type.String({
      minLength: 1,
      maxLength: 253,
      description: 'Secret of the namespace of the Application, at the hub.',
    }),
    as: Type.Optional(
      Type.String({ minLength: 1, maxLength: 253, description: 'Its name at the site; default the same.' }),
    ),
  }),
  {
    maxItems: 50,
    description:
      'Secrets of the hub that the application has at its sites. Each travels sealed to the key of the site; a new value reaches the sites without a new release.',
    'x-kubernetes-list-type': 'map',
    'x-kubernetes-list-map-keys': ['name'],
  },
);
export type SitedSecret = Static<typeof sitedSecretsSchema>[number];

export const imageRulesSchema = Type.Object(
  {
    tags: Type.Optional(
      Type.Union([Type.Literal('Resolve'), Type.Literal('ResolveIfPossible'), Type.Literal('Keep')], {
        default: 'ResolveIfPossible',
        description:
          'What becomes of image tags. Resolve: each is replaced by the digest that it has when the image is new in the content; no release without. ResolveIfPossible: those that the hub can look up. Keep: none.',
      }),
    ),
  },
  { description: 'What the hub does about images.' },
);
