import type { SecretValue } from '@selvedge/api';

/** Secrets of the hub that a release under test names: texts by key. */
export type NamedSecrets = Readonly<
  Record<string, { readonly version: string; readonly data: Readonly<Record<string, string>> }>
>;

/** What a site under test has of Secrets, as the agent's store would: every version that ever came. */
export class TestSecrets {
  /** By name and version. */
  readonly #values = new Map<string, SecretValue>();

  /** @returns their versions by name. */
  keep(secrets: NamedSecrets): Record<string, string> {
    const entries = Object.entries(secrets).map(([name, { version, data }]) => {
      const encoded = Object.entries(data).map(([key, text]) => [key, Buffer.from(text).toString('base64')]);
      this.#values.set(`${name} ${version}`, { type: 'Opaque', data: Object.fromEntries(encoded) });
      return [name, version];
    });
    return Object.fromEntries(entries);
  }

  /** Undefined when one is not here. */
  find(versions: Readonly<Record<string, string>>): ReadonlyMap<string, SecretValue> | undefined {
    const found = new Map<string, SecretValue>();
    for (const [name, version] of Object.entries(versions)) {
      const value = this.#values.get(`${name} ${version}`);
      if (value === undefined) return undefined;
      found.set(name, value);
    }
    return found;
  }
}
