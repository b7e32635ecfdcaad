/** Names of registries as part of a path: a colon may not stand there. */
const plain = /^[a-z0-9]+(?:[.-][a-z0-9]+)*(?::\d+)?$/;

/** `host:5000` → `host__5000`; what cannot be written so, as hexadecimal digits. */
export function registryToPath(registry: string): string {
  if (plain.test(registry)) return registry.replace(':', '__');
  return `hex__${Buffer.from(registry).toString('hex')}`;
}

/** The registry that the first part of a repository's path names; undefined when it names none. */
export function registryOfPath(first: string): string | undefined {
  const [, hex] = /^hex__((?:[0-9a-f]{2})+)$/.exec(first) ?? [];
  if (hex !== undefined) return Buffer.from(hex, 'hex').toString('utf8');
  const registry = first.replace(/__(\d+)$/, ':$1');
  const isRegistry = registry.includes('.') || registry.includes(':') || registry === 'localhost';
  return isRegistry ? registry : undefined;
}
