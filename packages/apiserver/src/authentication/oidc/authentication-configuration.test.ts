import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import {
  AuthenticationConfigurationError,
  parseAuthenticationConfiguration,
} from './authentication-configuration.ts';

const head = 'apiVersion: apiserver.config.k8s.io/v1\nkind: AuthenticationConfiguration\n';
const minimal = {
  issuer: { url: 'https://id.example', audiences: ['hub'] },
  claimMappings: { username: { claim: 'sub', prefix: 'id:' } },
};

/** JSON is YAML. */
const parse = (...jwt: unknown[]) => parseAuthenticationConfiguration(`${head}jwt: ${JSON.stringify(jwt)}`);
const refuses = (text: string, message: RegExp) =>
  assert.throws(
    () => parseAuthenticationConfiguration(text),
    (error) => error instanceof AuthenticationConfigurationError && message.test(error.message),
  );
const refusesJwt = (jwt: unknown, message: RegExp) =>
  refuses(`${head}jwt: ${JSON.stringify([jwt])}`, message);

describe('AuthenticationConfiguration', () => {
  test('everything that is supported', () => {
    assert.deepEqual(
      parseAuthenticationConfiguration(`${head}
jwt:
- issuer:
    url: https://id.example/realm
    discoveryURL: https://id.internal/realm/.well-known/openid-configuration
    audiences: [hub, also-hub]
    audienceMatchPolicy: MatchAny
  claimValidationRules:
  - {claim: hd, requiredValue: example.com}
  claimMappings:
    username: {claim: email, prefix: ""}
    groups: {claim: groups, prefix: "id:"}
    uid: {claim: sub}
`),
      [
        {
          url: 'https://id.example/realm',
          discoveryUrl: 'https://id.internal/realm/.well-known/openid-configuration',
          audiences: ['hub', 'also-hub'],
          requiredClaims: [{ claim: 'hd', value: 'example.com' }],
          username: { claim: 'email', prefix: '' },
          groups: { claim: 'groups', prefix: 'id:' },
          uidClaim: 'sub',
        },
      ],
    );
    assert.equal(
      parse(minimal, { ...minimal, issuer: { ...minimal.issuer, url: 'https://b.example' } }).length,
      2,
    );
    assert.deepEqual(parse(), []);
  });

  test('what is not supported is refused by its path, never passed over', () => {
    refusesJwt({ ...minimal, userValidationRules: [] }, /^jwt\[0\]\.userValidationRules: is not supported/);
    refusesJwt(
      { ...minimal, claimValidationRules: [{ expression: 'true' }] },
      /^jwt\[0\]\.claimValidationRules\[0\]\.expression: is not supported/,
    );
    refusesJwt(
      { ...minimal, claimMappings: { username: { expression: 'claims.sub' } } },
      /username\.expression: is not supported/,
    );
    refusesJwt(
      { ...minimal, claimMappings: { ...minimal.claimMappings, extra: [] } },
      /claimMappings\.extra/,
    );
    refuses(`${head}jwt: []\nanonymous: {enabled: true}`, /^anonymous: is not supported/);
  });

  test('what is missing or wrong is told with its path', () => {
    const issuer = (over: object) => ({ ...minimal, issuer: { ...minimal.issuer, ...over } });
    refusesJwt(issuer({ url: 'http://id.example' }), /^jwt\[0\]\.issuer\.url: must begin with https/);
    refusesJwt(issuer({ url: 'https://u:p@id.example' }), /no user name or password/);
    refusesJwt(issuer({ url: 'https://id.example?x' }), /neither a query/);
    refusesJwt(issuer({ audiences: [] }), /issuer\.audiences/);
    refusesJwt(issuer({ audiences: ['a', 'b'] }), /audienceMatchPolicy: must be MatchAny/);
    refusesJwt(issuer({ audienceMatchPolicy: 'All' }), /audienceMatchPolicy: must be MatchAny/);
    refusesJwt(issuer({ certificateAuthority: 'x' }), /certificateAuthority: holds no certificate/);
    const broken = '-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----';
    refusesJwt(issuer({ certificateAuthority: broken }), /certificateAuthority: .*cannot be read/);
    refusesJwt({ issuer: minimal.issuer }, /^jwt\[0\]\.claimMappings: is needed/);
    refusesJwt({ ...minimal, claimMappings: {} }, /claimMappings\.username: is needed/);
    refusesJwt({ ...minimal, claimMappings: { username: { claim: 'sub' } } }, /username\.prefix: is needed/);
    refusesJwt({ ...minimal, claimMappings: { username: { claim: 1, prefix: '' } } }, /must be a text/);
    refusesJwt('x', /^jwt\[0\]: must be an object/);
    refuses(`${head}jwt: {}`, /^jwt: must be a list/);
    refuses(`${head}jwt: ${JSON.stringify([minimal, minimal])}`, /^jwt\[1\]\.issuer\.url: stands twice/);
    refuses(head.replace('/v1', '/v9'), /^apiVersion/);
    refuses(head.replace('kind: Auth', 'kind: X'), /^kind/);
    refuses('a: [', /not YAML/);
    refuses('', /must be an object/);
  });
});
