const token = /\$\$|\$\(([-._a-zA-Z][-._a-zA-Z0-9]*)\)/g;

/** `$(NAME)` as Kubernetes expands it in env, command and args: unknown names stay, `$$` is one `$`. */
export function expandVariables(value: string, variables: ReadonlyMap<string, string>): string {
  return value.replaceAll(token, (match: string, name: string | undefined) =>
    name === undefined ? '$' : (variables.get(name) ?? match),
  );
}

/** Names that a value refers to. */
export function referencedNames(value: string): string[] {
  return [...value.matchAll(token)].map((match) => match[1]).filter((name) => name !== undefined);
}
