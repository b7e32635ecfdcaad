import { badRequest, isStatusError, type KubeObject } from '@selvedge/api';
import type { ReviewDefinition } from '../resource-definition.ts';
import { authenticate } from './authenticate.ts';
import type { Authenticator, Credentials } from './authenticator.ts';
import { userInfoBody } from './user-info.ts';

const group = 'authentication.k8s.io';
const maxAudiences = 50;

/** `tokenreviews`: tells a program whose token it was shown. The answer does not repeat the token. */
export function tokenReviewDefinition(authenticators: readonly Authenticator[]): ReviewDefinition {
  return {
    ref: { group, version: 'v1', plural: 'tokenreviews', kind: 'TokenReview', namespaced: false },
    singular: 'tokenreview',
    description: 'Asks whether a token is good, and whose it is.',
    schema: {
      type: 'object',
      required: ['spec'],
      properties: {
        spec: {
          type: 'object',
          description: 'What is asked.',
          properties: {
            token: { type: 'string', description: 'The token.' },
            audiences: {
              type: 'array',
              maxItems: maxAudiences,
              items: { type: 'string' },
              description: 'Whom the token should be meant for. Empty: this API.',
            },
          },
        },
        status: { type: 'object', description: 'The answer.', 'x-kubernetes-preserve-unknown-fields': true },
      },
    },
    review: async (object) => {
      const { token = '', audiences = [] } = object['spec'] as { token?: string; audiences?: string[] };
      if (token === '') throw badRequest('token is required for TokenReview in authentication');
      return {
        ...object,
        spec: audiences.length > 0 ? { audiences } : {},
        status: await reviewToken(authenticators, token, audiences),
      } as KubeObject;
    },
  };
}

async function reviewToken(
  authenticators: readonly Authenticator[],
  bearerToken: string,
  audiences: readonly string[],
): Promise<Record<string, unknown>> {
  if (audiences.length === 0) return tryToken(authenticators, { bearerToken });
  const answers = await Promise.all(
    audiences.map((audience) => tryToken(authenticators, { bearerToken, audiences: [audience] })),
  );
  const good = answers.findIndex(isGood);
  if (good < 0) return answers[0] ?? { authenticated: false };
  return { ...answers[good], audiences: audiences.filter((_, i) => isGood(answers[i])) };
}

const isGood = (answer: Record<string, unknown> | undefined): boolean => answer?.['authenticated'] === true;

async function tryToken(
  authenticators: readonly Authenticator[],
  credentials: Credentials,
): Promise<Record<string, unknown>> {
  try {
    const user = await authenticate(authenticators, credentials);
    if (user) return { authenticated: true, user: userInfoBody(user) };
    return { authenticated: false };
  } catch (error) {
    if (isStatusError(error, 'Unauthorized')) return { authenticated: false, error: error.message };
    throw error;
  }
}
