const label = '[a-z0-9](?:[-a-z0-9]*[a-z0-9])?';
const dnsLabel = new RegExp(`^${label}$`);
const dnsSubdomain = new RegExp(`^${label}(?:\\.${label})*$`);
const labelText = /^[A-Za-z0-9](?:[-A-Za-z0-9_.]*[A-Za-z0-9])?$/;

/** Each function returns what is wrong with a name, for the end of a message, or `undefined`. RFC 1123, as Kubernetes. */
export function faultOfDnsLabel(name: string): string | undefined {
  if (name.length > 63) return 'must be no more than 63 characters';
  if (dnsLabel.test(name)) return undefined;
  return "must consist of lower case letters, digits and '-', and begin and end with a letter or digit";
}

/** Names of most objects: `a.b-c`. */
export function faultOfDnsSubdomain(name: string): string | undefined {
  if (name.length > 253) return 'must be no more than 253 characters';
  if (dnsSubdomain.test(name)) return undefined;
  return "must consist of lower case letters, digits, '-' and '.', and begin and end with a letter or digit";
}

/** Names of kinds that Kubernetes lets be called almost anything (roles: `system:discovery`). */
export function faultOfPathSegment(name: string): string | undefined {
  if (name.length > 253) return 'must be no more than 253 characters';
  if (name === '.' || name === '..') return `may not be '${name}'`;
  const wrong = ['/', '%'].find((character) => name.includes(character));
  return wrong === undefined ? undefined : `may not contain '${wrong}'`;
}

/** Keys of labels and annotations: `name` or `prefix/name`. */
export function faultOfLabelKey(key: string): string | undefined {
  const slash = key.indexOf('/');
  const name = slash < 0 ? key : key.slice(slash + 1);
  if (slash >= 0 && (slash === 0 || faultOfDnsSubdomain(key.slice(0, slash)))) {
    return "prefix part must be a lower case DNS name, as in 'example.com/name'";
  }
  if (name.length > 63) return 'name part must be no more than 63 characters';
  if (labelText.test(name)) return undefined;
  return "name part must consist of letters, digits, '-', '_' or '.', and begin and end with a letter or digit";
}

/** Values of labels; may be empty. */
export function faultOfLabelValue(value: string): string | undefined {
  if (value.length > 63) return 'must be no more than 63 characters';
  if (value === '' || labelText.test(value)) return undefined;
  return "must be empty, or consist of letters, digits, '-', '_' or '.', and begin and end with a letter or digit";
}
