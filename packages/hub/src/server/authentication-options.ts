import { readFile } from 'node:fs/promises';
import { resolve } from 'node:path';
import {
  AuthenticationConfigurationError,
  faultOfCertificates,
  faultOfIssuerUrl,
  type OidcIssuer,
  parseAuthenticationConfiguration,
} from '@selvedge/apiserver';
import { HubOptionError } from './hub-option-error.ts';

/** How people and programs are known, as on the command line. */
export interface AuthenticationFlags {
  /** Certificate (with those between it and its root) and key for the listener, PEM files; together. */
  readonly tlsCertFile?: string;
  readonly tlsPrivateKeyFile?: string;
  /** PEM file of authorities whose client certificates are taken, beside the hub's own. */
  readonly clientCaFile?: string;
  /** on or off (the default): a token for a first administrator, in DATA/bootstrap-token. */
  readonly bootstrapToken?: string;
  /** Issuer of service account tokens, and others that are still taken. Default: the first advertised address. */
  readonly serviceAccountIssuer?: readonly string[];
  /** YAML file with an AuthenticationConfiguration of Kubernetes; instead of the `oidc…` below. */
  readonly authenticationConfig?: string;
  readonly oidcIssuerUrl?: string;
  readonly oidcClientId?: string;
  readonly oidcUsernameClaim?: string;
  readonly oidcUsernamePrefix?: string;
  readonly oidcGroupsClaim?: string;
  readonly oidcGroupsPrefix?: string;
  readonly oidcCaFile?: string;
}

export interface AuthenticationOptions {
  readonly servingFiles: { readonly certificate: string; readonly key: string } | undefined;
  readonly clientCaFile: string | undefined;
  readonly bootstrapToken: boolean;
  readonly serviceAccountIssuers: readonly string[];
  /** Files whose change calls for `loadOidcIssuers` again. */
  readonly oidcFiles: readonly string[];
  /** Throws HubOptionError that names the flag and the field. */
  readonly loadOidcIssuers: () => Promise<readonly OidcIssuer[]>;
}

/** Throws HubOptionError. Files are only read later. */
export function resolveAuthenticationOptions(flags: AuthenticationFlags): AuthenticationOptions {
  return {
    servingFiles: servingFiles(flags),
    clientCaFile: flags.clientCaFile === undefined ? undefined : resolve(flags.clientCaFile),
    bootstrapToken: parseSwitch(flags.bootstrapToken ?? 'off'),
    serviceAccountIssuers: (flags.serviceAccountIssuer ?? []).map(parseIssuer),
    ...oidcOptions(flags),
  };
}

function servingFiles({ tlsCertFile, tlsPrivateKeyFile }: AuthenticationFlags) {
  if (tlsCertFile === undefined && tlsPrivateKeyFile === undefined) return undefined;
  if (tlsCertFile === undefined || tlsPrivateKeyFile === undefined) {
    throw new HubOptionError('--tls-cert-file and --tls-private-key-file are needed together');
  }
  return { certificate: resolve(tlsCertFile), key: resolve(tlsPrivateKeyFile) };
}

function parseSwitch(text: string): boolean {
  if (text !== 'on' && text !== 'off') {
    throw new HubOptionError(`--bootstrap-token must be on or off, not "${text}"`);
  }
  return text === 'on';
}

function parseIssuer(text: string): string {
  const fault = faultOfIssuerUrl(text);
  if (fault !== undefined) throw new HubOptionError(`--service-account-issuer ${fault}`);
  return text;
}

function oidcOptions(
  flags: AuthenticationFlags,
): Pick<AuthenticationOptions, 'oidcFiles' | 'loadOidcIssuers'> {
  const { authenticationConfig, oidcIssuerUrl } = flags;
  const given = oidcFlags(flags);
  if (authenticationConfig !== undefined) {
    if (given.length > 0)
      throw new HubOptionError(`--authentication-config and ${given[0]} exclude each other`);
    const path = resolve(authenticationConfig);
    return { oidcFiles: [path], loadOidcIssuers: () => loadConfiguration(path) };
  }
  if (oidcIssuerUrl === undefined) {
    if (given.length > 0) throw new HubOptionError(`${given[0]} needs --oidc-issuer-url`);
    return { oidcFiles: [], loadOidcIssuers: async () => [] };
  }
  const issuer = parseOidcIssuer(flags, oidcIssuerUrl);
  const caFile = flags.oidcCaFile === undefined ? undefined : resolve(flags.oidcCaFile);
  return {
    oidcFiles: caFile === undefined ? [] : [caFile],
    loadOidcIssuers: async () =>
      caFile === undefined ? [issuer] : [{ ...issuer, authority: await loadCertificates(caFile) }],
  };
}

/** Those that are given, as they are called on the command line. */
function oidcFlags(flags: AuthenticationFlags): string[] {
  const names = {
    oidcIssuerUrl: '--oidc-issuer-url',
    oidcClientId: '--oidc-client-id',
    oidcUsernameClaim: '--oidc-username-claim',
    oidcUsernamePrefix: '--oidc-username-prefix',
    oidcGroupsClaim: '--oidc-groups-claim',
    oidcGroupsPrefix: '--oidc-groups-prefix',
    oidcCaFile: '--oidc-ca-file',
  } as const;
  return (Object.keys(names) as (keyof typeof names)[])
    .filter((name) => flags[name] !== undefined)
    .map((name) => names[name]);
}

function parseOidcIssuer(flags: AuthenticationFlags, url: string): OidcIssuer {
  const fault = faultOfIssuerUrl(url);
  if (fault !== undefined) throw new HubOptionError(`--oidc-issuer-url ${fault}`);
  const { oidcClientId, oidcUsernameClaim = 'sub', oidcGroupsClaim, oidcGroupsPrefix = '' } = flags;
  if (!oidcClientId) throw new HubOptionError('--oidc-issuer-url needs --oidc-client-id');
  if (oidcGroupsClaim === undefined && flags.oidcGroupsPrefix !== undefined) {
    throw new HubOptionError('--oidc-groups-prefix needs --oidc-groups-claim');
  }
  // As kube-apiserver: names of several issuers must not be taken for each other; addresses speak for themselves.
  const usualPrefix = oidcUsernameClaim === 'email' ? '' : `${url}#`;
  const { oidcUsernamePrefix = usualPrefix } = flags;
  return {
    url,
    audiences: [oidcClientId],
    requiredClaims: [],
    username: { claim: oidcUsernameClaim, prefix: oidcUsernamePrefix === '-' ? '' : oidcUsernamePrefix },
    ...(oidcGroupsClaim === undefined
      ? {}
      : { groups: { claim: oidcGroupsClaim, prefix: oidcGroupsPrefix } }),
  };
}

async function loadConfiguration(path: string): Promise<readonly OidcIssuer[]> {
  const text = await readOptionFile('--authentication-config', path);
  try {
    return parseAuthenticationConfiguration(text);
  } catch (cause) {
    if (!(cause instanceof AuthenticationConfigurationError)) throw cause;
    throw new HubOptionError(`--authentication-config ${path}: ${cause.message}`, { cause });
  }
}

async function loadCertificates(path: string): Promise<string> {
  const pem = await readOptionFile('--oidc-ca-file', path);
  const fault = faultOfCertificates(pem);
  if (fault !== undefined) throw new HubOptionError(`--oidc-ca-file ${path} ${fault}`);
  return pem;
}

/** Text of a file that a flag names. Throws HubOptionError. */
export async function readOptionFile(flag: string, path: string): Promise<string> {
  try {
    return await readFile(path, 'utf8');
  } catch (cause) {
    throw new HubOptionError(`${flag} ${path} cannot be read: ${(cause as Error).message}`, { cause });
  }
}
