import { X509Certificate } from 'node:crypto';
import { isObject, type JsonObject } from '@selvedge/api';
import { parse as parseYaml } from 'yaml';
import { splitPem } from '../split-pem.ts';
import type { OidcIssuer, PrefixedClaim } from './oidc-issuer.ts';

/** What is wrong with a configuration; the message begins with the path of the field. */
export class AuthenticationConfigurationError extends Error {
  override readonly name = 'AuthenticationConfigurationError';
}

const versions = ['apiserver.config.k8s.io/v1', 'apiserver.config.k8s.io/v1beta1'];
const maxIssuers = 64;

/**
 * Reads Kubernetes' AuthenticationConfiguration (YAML). What it says in CEL, and whatever is not known here, is refused
 * by name: a rule that is passed over would let in whom it should keep out. Throws AuthenticationConfigurationError.
 */
export function parseAuthenticationConfiguration(text: string): OidcIssuer[] {
  let document: unknown;
  try {
    document = parseYaml(text, { uniqueKeys: true, maxAliasCount: 100, logLevel: 'error' });
  } catch (cause) {
    throw new AuthenticationConfigurationError(`is not YAML: ${(cause as Error).message}`, { cause });
  }
  const root = new Fields('', document);
  root.only('apiVersion', 'kind', 'jwt');
  const version = root.text('apiVersion');
  if (!versions.includes(version)) throw root.fault('apiVersion', `must be ${versions[0]}, not "${version}"`);
  if (root.text('kind') !== 'AuthenticationConfiguration') {
    throw root.fault('kind', 'must be AuthenticationConfiguration');
  }
  const issuers = root.list('jwt').map(readIssuer);
  if (issuers.length > maxIssuers) throw root.fault('jwt', `has more than ${maxIssuers} issuers`);
  const twice = issuers.findIndex(({ url }, i) => issuers.findIndex((other) => other.url === url) < i);
  if (twice >= 0) throw root.fault(`jwt[${twice}].issuer.url`, 'stands twice');
  return issuers;
}

function readIssuer(jwt: Fields): OidcIssuer {
  jwt.only('issuer', 'claimValidationRules', 'claimMappings');
  const issuer = jwt.object('issuer');
  issuer.only('url', 'discoveryURL', 'certificateAuthority', 'audiences', 'audienceMatchPolicy');
  const audiences = issuer.texts('audiences');
  const policy = issuer.findText('audienceMatchPolicy');
  if (policy !== undefined && policy !== 'MatchAny')
    throw issuer.fault('audienceMatchPolicy', 'must be MatchAny');
  if (audiences.length > 1 && policy === undefined) {
    throw issuer.fault('audienceMatchPolicy', 'must be MatchAny with more than one audience');
  }
  const mappings = jwt.object('claimMappings');
  mappings.only('username', 'groups', 'uid');
  const discoveryUrl = issuer.findText('discoveryURL');
  const authority = issuer.findText('certificateAuthority');
  const groups = mappings.find('groups');
  const uid = mappings.find('uid');
  uid?.only('claim');
  return {
    url: httpsUrl(issuer, 'url'),
    ...(discoveryUrl === undefined ? {} : { discoveryUrl: httpsUrl(issuer, 'discoveryURL') }),
    ...(authority === undefined ? {} : { authority: certificates(issuer, authority) }),
    audiences,
    requiredClaims: jwt.has('claimValidationRules')
      ? jwt.list('claimValidationRules').map((rule) => {
          rule.only('claim', 'requiredValue');
          return { claim: rule.text('claim'), value: rule.text('requiredValue') };
        })
      : [],
    username: prefixedClaim(mappings.object('username')),
    ...(groups ? { groups: prefixedClaim(groups) } : {}),
    ...(uid ? { uidClaim: uid.text('claim') } : {}),
  };
}

function prefixedClaim(fields: Fields): PrefixedClaim {
  fields.only('claim', 'prefix');
  const prefix = fields.findText('prefix');
  if (prefix === undefined) throw fields.fault('prefix', 'is needed; it may be ""');
  return { claim: fields.text('claim'), prefix };
}

function httpsUrl(fields: Fields, name: string): string {
  const text = fields.text(name);
  const fault = faultOfIssuerUrl(text);
  if (fault !== undefined) throw fields.fault(name, fault);
  return text;
}

/** Why this cannot be the address of an issuer; `undefined` when it can. */
export function faultOfIssuerUrl(text: string): string | undefined {
  const url = URL.parse(text);
  if (url?.protocol !== 'https:') return `must begin with https://, not "${text}"`;
  if (url.username !== '' || url.password !== '') return 'must hold no user name or password';
  return url.search === '' && url.hash === '' ? undefined : 'must have neither a query nor a fragment';
}

function certificates(fields: Fields, pem: string): string {
  const fault = faultOfCertificates(pem);
  if (fault !== undefined) throw fields.fault('certificateAuthority', fault);
  return pem;
}

/** Why this is no PEM of certificates; `undefined` when it is. */
export function faultOfCertificates(pem: string): string | undefined {
  const found = splitPem(pem);
  if (found.length === 0) return 'holds no certificate in PEM';
  try {
    for (const text of found) new X509Certificate(text);
    return undefined;
  } catch (error) {
    return `holds a certificate that cannot be read (${(error as Error).message})`;
  }
}

/** An object of the file that knows its path. */
class Fields {
  readonly #path: string;
  readonly #fields: JsonObject;

  constructor(path: string, value: unknown) {
    this.#path = path;
    if (!isObject(value))
      throw new AuthenticationConfigurationError(`${path || 'the file'}: must be an object`);
    this.#fields = value;
  }

  fault(name: string, why: string): AuthenticationConfigurationError {
    return new AuthenticationConfigurationError(`${this.#pathOf(name)}: ${why}`);
  }

  #pathOf(name: string): string {
    return this.#path === '' ? name : `${this.#path}.${name}`;
  }

  /** Refuses every other field. */
  only(...names: readonly string[]): void {
    for (const name of Object.keys(this.#fields)) {
      if (!names.includes(name)) throw this.fault(name, 'is not supported by this hub');
    }
  }

  has(name: string): boolean {
    return this.#fields[name] !== undefined && this.#fields[name] !== null;
  }

  findText(name: string): string | undefined {
    if (!this.has(name)) return undefined;
    const value = this.#fields[name];
    if (typeof value !== 'string') throw this.fault(name, 'must be a text');
    return value;
  }

  text(name: string): string {
    const text = this.findText(name);
    if (text === undefined || text === '') throw this.fault(name, 'is needed');
    return text;
  }

  texts(name: string): string[] {
    const value = this.#fields[name];
    if (Array.isArray(value) && value.length > 0 && value.every((v) => typeof v === 'string' && v !== '')) {
      return value;
    }
    throw this.fault(name, 'must be a list of at least one text');
  }

  find(name: string): Fields | undefined {
    return this.has(name) ? new Fields(this.#pathOf(name), this.#fields[name]) : undefined;
  }

  object(name: string): Fields {
    const found = this.find(name);
    if (!found) throw this.fault(name, 'is needed');
    return found;
  }

  list(name: string): Fields[] {
    const value = this.#fields[name];
    if (!Array.isArray(value)) throw this.fault(name, 'must be a list');
    return value.map((item, i) => new Fields(`${this.#pathOf(name)}[${i}]`, item));
  }
}
