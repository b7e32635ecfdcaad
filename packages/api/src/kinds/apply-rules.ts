import Type, { type Static } from 'typebox';

/** What happens when something at a site is no longer what the release says. */
export const driftPolicies = ['Correct', 'Report', 'Ignore'] as const;
export type DriftPolicy = (typeof driftPolicies)[number];

const kindFields = {
  apiVersion: Type.String({ minLength: 1, maxLength: 253, description: 'apiVersion of the objects.' }),
  kind: Type.String({ minLength: 1, maxLength: 63, description: 'kind of the objects.' }),
};

export const applyRulesSchema = Type.Object(
  {
    drift: Type.Optional(
      Type.Unsafe<DriftPolicy>({
        type: 'string',
        enum: [...driftPolicies],
        default: 'Correct',
        description:
          'What to do about changes that others make at a site to what the release sets. Correct: put it back. Report: say so in the Delivery. Ignore: neither.',
      }),
    ),
    ignoreDifferences: Type.Optional(
      Type.Array(
        Type.Object({
          ...kindFields,
          namespace: Type.Optional(Type.String({ description: 'Only objects in this namespace.' })),
          name: Type.Optional(Type.String({ description: 'Only the object of this name.' })),
          jsonPointers: Type.Array(Type.String({ pattern: '^(/[^/]+)+$', maxLength: 500 }), {
            minItems: 1,
            maxItems: 50,
            description: 'Fields as JSON pointers (RFC 6901): /spec/replicas.',
          }),
        }),
        {
          maxItems: 50,
          description:
            'Fields that others may set: given when the object is made, left alone from then on, never drift.',
        },
      ),
    ),
    onImmutableChange: Type.Optional(
      Type.Union([Type.Literal('Refuse'), Type.Literal('Replace')], {
        default: 'Refuse',
        description:
          'What to do when a release changes a field that Kubernetes does not let change. Refuse: the release is refused while it is prepared. Replace: the object is deleted and made again; its pods stop meanwhile.',
      }),
    ),
    health: Type.Optional(
      Type.Array(
        Type.Object(
          {
            ...kindFields,
            condition: Type.Optional(
              Type.String({
                minLength: 1,
                maxLength: 316,
                description: 'Type of the status condition that is True when the object is healthy: Ready.',
              }),
            ),
            current: Type.Optional(
              Type.String({
                minLength: 1,
                maxLength: 2000,
                description: "CEL over self: true when the object is healthy: self.status.phase == 'Bound'.",
              }),
            ),
            failed: Type.Optional(
              Type.String({
                minLength: 1,
                maxLength: 2000,
                description: 'CEL over self: true when the object has failed and will not recover by itself.',
              }),
            ),
          },
          {
            'x-kubernetes-validations': [
              {
                rule: '[has(self.condition), has(self.current)].filter(x, x).size() == 1',
                message: 'give either condition or current',
              },
            ],
          },
        ),
        {
          maxItems: 50,
          description:
            'When objects of other kinds are healthy. Built-in kinds need none; for others the usual status conditions count.',
        },
      ),
    ),
  },
  { description: 'How the manifests are brought to Kubernetes and kept there.' },
);
export type ApplyRules = Static<typeof applyRulesSchema>;
