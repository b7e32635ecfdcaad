import type { Clock } from '@selvedge/api';
import type { ReviewDefinition } from '../resource-definition.ts';
import { userInfoBody } from './user-info.ts';

const group = 'authentication.k8s.io';

/** Newest first; kubectl 1.27 asks for the older ones. */
const versions = ['v1', 'v1beta1', 'v1alpha1'];

/** `selfsubjectreviews`: `kubectl auth whoami`. */
export function selfSubjectReviewDefinitions(clock: Clock): ReviewDefinition[] {
  return versions.map((version) => ({
    ref: { group, version, plural: 'selfsubjectreviews', kind: 'SelfSubjectReview', namespaced: false },
    singular: 'selfsubjectreview',
    description: 'Asks who one is for the server.',
    schema: {
      type: 'object',
      properties: {
        status: { type: 'object', description: 'The answer.', 'x-kubernetes-preserve-unknown-fields': true },
      },
    },
    review: async (object, { user }) => ({
      ...object,
      metadata: {
        ...object.metadata,
        creationTimestamp: clock
          .now()
          .toISOString()
          .replace(/\.\d+Z$/, 'Z'),
      },
      status: { userInfo: userInfoBody(user) },
    }),
  }));
}
