import type { KubeObject } from '@selvedge/api';

/** `$${`, `${…}`, or a `${` that is never closed: as references are read at the site. */
const tokens = /\$\$\{|\$\{[^{}]*\}|\$\{/g;
/** What looks like one of ours is meant as one: a slip in it has to be found. */
const ours = /^\$\{ *(?:site|variables|release|application)\b/;

/**
 * Manifests in which `${HOME}` and the like, as scripts of charts have them, mean themselves. References of ours, also wrong ones, and `$${`
 * stay what they are. Parts without any are shared.
 */
export function withForeignEscaped(manifests: readonly KubeObject[]): KubeObject[] {
  return manifests.map((manifest) => escapeIn(manifest) as KubeObject);
}

function escapeIn(value: unknown): unknown {
  if (typeof value === 'string') return value.includes('${') ? escapeText(value) : value;
  if (typeof value !== 'object' || value === null) return value;
  if (Array.isArray(value)) {
    const items = value.map(escapeIn);
    return items.some((item, index) => item !== value[index]) ? items : value;
  }
  const entries = Object.entries(value).map(([key, item]) => [key, escapeIn(item), item] as const);
  const isChanged = entries.some(([, item, former]) => item !== former);
  return isChanged ? Object.fromEntries(entries.map(([key, item]) => [key, item])) : value;
}

function escapeText(text: string): string {
  return text.replaceAll(tokens, (token) =>
    token.startsWith('$$') || ours.test(token) ? token : `$${token}`,
  );
}
