/** Says what is wrong with the value at `path`, and with what is below it. */
export type Shape = (value: unknown, path: string, report: ShapeReport) => void;
export type ShapeReport = (path: string, message: string) => void;

/** Text of a kind: a `description` for the message and a test. */
function scalar(description: string, accepts: (value: unknown) => boolean): Shape {
  return (value, path, report) => {
    if (!accepts(value)) report(path, `must be ${description}`);
  };
}

const isText = (value: unknown): value is string => typeof value === 'string';

export const text = scalar('a string', isText);
export const nonEmptyText = scalar('a string that is not empty', (v) => isText(v) && v !== '');
export const flag = scalar('true or false', (v) => typeof v === 'boolean');
export const anything: Shape = () => undefined;

/** DNS-1123 label, as names of containers and volumes. */
export const dnsLabel = scalar(
  "a name of lower-case letters, digits and '-', at most 63",
  (v) => isText(v) && v.length <= 63 && /^[a-z0-9]([-a-z0-9]*[a-z0-9])?$/.test(v),
);

/** Absolute path without `..` and without characters that would change a mount. */
export const absolutePath = scalar(
  "an absolute path without '..', ':' or ','",
  (v) => isText(v) && v.startsWith('/') && !hasParentStep(v) && !/[:,\0]/.test(v),
);

/** Path that stays below where it is used. */
export const relativePath = scalar(
  "a relative path without '..', ':' or ','",
  (v) => isText(v) && v !== '' && !v.startsWith('/') && !hasParentStep(v) && !/[:,\0]/.test(v),
);

export function integer(minimum: number, maximum: number = Number.MAX_SAFE_INTEGER): Shape {
  const limit = maximum === Number.MAX_SAFE_INTEGER ? `at least ${minimum}` : `from ${minimum} to ${maximum}`;
  return scalar(
    `a whole number ${limit}`,
    (v) => Number.isInteger(v) && (v as number) >= minimum && (v as number) <= maximum,
  );
}

export const portNumber = integer(1, 65535);
/** Number or name of a port. */
export const portReference = scalar(
  'a port number or the name of a port',
  (v) => (isText(v) && v !== '') || (Number.isInteger(v) && (v as number) >= 1 && (v as number) <= 65535),
);

/** A number, or a percentage as `25%`. */
export const countOrPercent = scalar(
  "a whole number or a percentage as '25%'",
  (v) => (Number.isInteger(v) && (v as number) >= 0) || (isText(v) && /^\d{1,3}%$/.test(v)),
);

export function oneOf(...values: readonly (string | number | boolean)[]): Shape {
  const listed = values.map((value) => JSON.stringify(value)).join(', ');
  return (value, path, report) => {
    if (!values.includes(value as string)) {
      report(path, `${JSON.stringify(value)} is not supported on a Podman site; supported: ${listed}`);
    }
  };
}

/** A field that is never honoured here, with the reason. */
export function refused(reason: string): Shape {
  return (_value, path, report) => report(path, `is not supported on a Podman site: ${reason}`);
}

export function listOf(item: Shape): Shape {
  return (value, path, report) => {
    if (!Array.isArray(value)) report(path, 'must be a list');
    else for (const [index, entry] of value.entries()) item(entry, `${path}[${index}]`, report);
  };
}

export function mapOf(item: Shape): Shape {
  return (value, path, report) => {
    if (!isObject(value)) report(path, 'must be an object');
    else for (const [key, entry] of Object.entries(value)) item(entry, `${path}[${key}]`, report);
  };
}

/** Exactly the named fields; every other is reported. `null` counts as absent, as in Kubernetes. */
export function object(fields: Readonly<Record<string, Shape>>, required: readonly string[] = []): Shape {
  return (value, path, report) => {
    if (!isObject(value)) {
      report(path, 'must be an object');
      return;
    }
    for (const name of required) {
      if (value[name] === undefined || value[name] === null) report(join(path, name), 'is required');
    }
    for (const [name, entry] of Object.entries(value)) {
      if (entry === null || entry === undefined) continue;
      const shape = Object.hasOwn(fields, name) ? fields[name] : undefined;
      if (shape) shape(entry, join(path, name), report);
      else report(join(path, name), 'is not supported on a Podman site');
    }
  };
}

export function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function join(path: string, name: string): string {
  return path === '' ? name : `${path}.${name}`;
}

function hasParentStep(path: string): boolean {
  return path.split('/').includes('..');
}
