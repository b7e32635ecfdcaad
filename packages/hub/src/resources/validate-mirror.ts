import {
  faultOfDnsLabel,
  faultOfDnsSubdomain,
  type FieldError,
  fieldInvalid,
  type MirrorSource,
  parseDuration,
  validateLabelSelector,
} from '@selvedge/api';

/** Made by controllers from other objects, or good for nothing elsewhere. */
const unmirrored: ReadonlySet<string> = new Set([
  'Binding',
  'ControllerRevision',
  'Endpoints',
  'EndpointSlice',
  'Event',
  'Lease',
  'Namespace',
  'Node',
  'PersistentVolume',
]);
const settleSeconds = { least: 1, most: 600 };

/** What is wrong with `spec.source.mirror`, with the paths of its fields below `path`. */
export function validateMirror(mirror: MirrorSource | undefined, path: string): FieldError[] {
  if (mirror === undefined) return [];
  const { site, namespaces, selector, kinds = [], secrets = [], settle } = mirror;
  const errors: FieldError[] = [];
  const check = (field: string, value: string, fault: string | undefined) => {
    if (fault !== undefined) errors.push(fieldInvalid(`${path}.${field}`, value, fault));
  };
  check('site', site, faultOfDnsSubdomain(site));
  for (const [i, name] of namespaces.entries()) check(`namespaces[${i}]`, name, faultOfDnsLabel(name));
  for (const [i, name] of secrets.entries()) check(`secrets[${i}]`, name, faultOfDnsSubdomain(name));
  errors.push(...validateLabelSelector(selector, `${path}.selector`));
  for (const [i, { apiVersion, kind }] of kinds.entries()) {
    check(`kinds[${i}].apiVersion`, apiVersion, faultOfApiVersion(apiVersion));
    check(`kinds[${i}].kind`, kind, faultOfKind(kind));
  }
  const seconds = settle === undefined ? settleSeconds.least : parseDuration(settle);
  const { least, most } = settleSeconds;
  if (seconds === undefined || seconds < least || seconds > most) {
    check('settle', settle ?? '', `must be a duration from ${least}s to ${most / 60}m, as in 5s`);
  }
  return errors;
}

function faultOfKind(kind: string): string | undefined {
  if (!/^[A-Z][A-Za-z0-9]*$/.test(kind)) return 'must be a kind as in Deployment';
  if (kind === 'Secret') return 'Secrets are mirrored by name only: name them in secrets';
  return unmirrored.has(kind) ? 'belongs to its cluster alone and cannot be mirrored' : undefined;
}

function faultOfApiVersion(apiVersion: string): string | undefined {
  return /^([a-z0-9]([-a-z0-9.]*[a-z0-9])?\/)?v[0-9]+((alpha|beta)[0-9]+)?$/.test(apiVersion)
    ? undefined
    : 'must be a group and version as in apps/v1, or v1';
}
