import type { Endpoint } from '../../http/endpoint.ts';
import { sendJson } from '../../http/respond.ts';
import { jsonWebKeySet, type SigningKeys, signingAlgorithm } from './signing-keys.ts';

const keySetPath = '/openid/v1/jwks';

/** Lets others verify tokens of our ServiceAccounts (OpenID Connect Discovery 1.0), as kube-apiserver does. */
export function openIdDiscovery(options: {
  readonly keys: () => SigningKeys;
  readonly issuers: () => readonly string[];
  /** Where this server is reached. */
  readonly serverUrl: () => string;
}): Endpoint[] {
  return [
    {
      method: 'GET',
      path: '/.well-known/openid-configuration',
      isPublic: true,
      handle: async (_req, res) => {
        const [issuer] = options.issuers();
        const document = {
          issuer,
          jwks_uri: `${options.serverUrl()}${keySetPath}`,
          response_types_supported: ['id_token'],
          subject_types_supported: ['public'],
          id_token_signing_alg_values_supported: [signingAlgorithm],
        };
        sendJson(res, document, { headers: caching });
      },
    },
    {
      method: 'GET',
      path: keySetPath,
      isPublic: true,
      handle: async (_req, res) =>
        sendJson(res, jsonWebKeySet(options.keys()), {
          contentType: 'application/jwk-set+json',
          headers: caching,
        }),
    },
  ];
}

// Short: who verifies has to hear of a new key soon.
const caching = { 'Cache-Control': 'public, max-age=300' };
