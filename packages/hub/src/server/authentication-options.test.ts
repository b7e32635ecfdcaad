import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { type AuthenticationFlags, resolveAuthenticationOptions } from './authentication-options.ts';
import { HubOptionError } from './hub-option-error.ts';

const refuses = (flags: AuthenticationFlags, message: RegExp) =>
  assert.throws(
    () => resolveAuthenticationOptions(flags),
    (error) => error instanceof HubOptionError && message.test(error.message),
  );

describe('authentication options', () => {
  test('nothing is on by itself', async () => {
    const options = resolveAuthenticationOptions({});
    assert.equal(options.bootstrapToken, false);
    assert.equal(options.servingFiles, undefined);
    assert.deepEqual(await options.loadOidcIssuers(), []);
  });

  test('wrong flags are named', () => {
    refuses({ tlsCertFile: 'a' }, /--tls-cert-file and --tls-private-key-file/);
    refuses({ bootstrapToken: 'yes' }, /--bootstrap-token must be on or off/);
    refuses({ serviceAccountIssuer: ['http://x'] }, /--service-account-issuer must begin with https/);
    refuses({ oidcIssuerUrl: 'http://x', oidcClientId: 'y' }, /--oidc-issuer-url must begin with https/);
    refuses({ oidcIssuerUrl: 'https://x' }, /needs --oidc-client-id/);
    refuses({ oidcClientId: 'x' }, /--oidc-client-id needs --oidc-issuer-url/);
    refuses(
      { oidcIssuerUrl: 'https://x', oidcClientId: 'y', oidcGroupsPrefix: 'z' },
      /needs --oidc-groups-claim/,
    );
    refuses(
      { authenticationConfig: 'f', oidcIssuerUrl: 'https://x' },
      /--authentication-config and --oidc-issuer-url exclude/,
    );
  });

  test('prefixes of user names are as with kube-apiserver', async () => {
    const flags = { oidcIssuerUrl: 'https://id.example', oidcClientId: 'hub' };
    const prefix = async (more: AuthenticationFlags) =>
      (await resolveAuthenticationOptions({ ...flags, ...more }).loadOidcIssuers())[0]?.username;
    assert.deepEqual(await prefix({}), { claim: 'sub', prefix: 'https://id.example#' });
    assert.deepEqual(await prefix({ oidcUsernameClaim: 'email' }), { claim: 'email', prefix: '' });
    assert.deepEqual(await prefix({ oidcUsernamePrefix: '-' }), { claim: 'sub', prefix: '' });
    assert.deepEqual(await prefix({ oidcUsernamePrefix: 'x:' }), { claim: 'sub', prefix: 'x:' });
  });

  test('files that cannot be used are told with flag and path', async (t) => {
    const directory = mkdtempSync(join(tmpdir(), 'selvedge-options-'));
    t.after(() => rmSync(directory, { recursive: true }));
    const path = join(directory, 'file');
    const load = (flags: AuthenticationFlags) => resolveAuthenticationOptions(flags).loadOidcIssuers();
    const oidc = { oidcIssuerUrl: 'https://x', oidcClientId: 'y', oidcCaFile: path };
    await assert.rejects(
      load({ authenticationConfig: path }),
      /--authentication-config .*file cannot be read/,
    );
    await assert.rejects(load(oidc), /--oidc-ca-file .*file cannot be read/);
    writeFileSync(path, 'kind: Other');
    await assert.rejects(
      load({ authenticationConfig: path }),
      /--authentication-config .*file: apiVersion: is needed/,
    );
    await assert.rejects(load(oidc), /--oidc-ca-file .*file holds no certificate/);
  });
});
