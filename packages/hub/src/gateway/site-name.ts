import { createHash } from 'node:crypto';
import { type EnrollmentTokenSpec, faultOfDnsSubdomain, StatusError } from '@selvedge/api';

const maxLength = 63;

/**
 * Name of the site that an agent becomes. {random} comes from the agent's key, so that the same agent asking again
 * gets the same name. Throws Invalid when no name can be made.
 */
export function siteNameFor(
  spec: EnrollmentTokenSpec,
  agent: { hostname: string; keyFingerprint: string },
): string {
  const hostname = asDnsLabel(agent.hostname.split('.', 1)[0] ?? '');
  const template = spec.siteName ?? spec.siteNameTemplate ?? 'site-{random}';
  if (spec.siteName === undefined && template.includes('{hostname}') && hostname === '') {
    throw invalidName(`the token names sites by {hostname}, but "${agent.hostname}" gives no name`);
  }
  const name =
    spec.siteName ??
    template.replaceAll('{hostname}', hostname).replaceAll('{random}', suffixOf(agent.keyFingerprint));
  const fault =
    name.length > maxLength ? `must be no more than ${maxLength} characters` : faultOfDnsSubdomain(name);
  if (fault === undefined) return name;
  throw invalidName(
    `"${name}" cannot be a site's name: it ${fault}; change siteName or siteNameTemplate of the token, or the machine's host name`,
  );
}

function asDnsLabel(text: string): string {
  return text
    .toLowerCase()
    .replace(/[^a-z0-9-]+/g, '-')
    .replace(/^-+|-+$/g, '');
}

/** 8 characters of a-z and 0-9. */
function suffixOf(keyFingerprint: string): string {
  const number = createHash('sha256').update(`site-name ${keyFingerprint}`).digest().readBigUInt64BE();
  return number.toString(36).padStart(8, '0').slice(-8);
}

function invalidName(message: string): StatusError {
  return new StatusError('Invalid', message, {
    details: { causes: [{ reason: 'FieldValueInvalid', field: 'agent.hostname', message }] },
  });
}
