import canonicalize from 'canonicalize';

/** The one byte form of a JSON value: RFC 8785 (keys sorted, no white space). Throws TypeError on NaN or a cycle. */
export function canonicalJson(value: unknown): string {
  const text = canonicalize(value);
  if (text === undefined) throw new TypeError('not a JSON value');
  return text;
}
