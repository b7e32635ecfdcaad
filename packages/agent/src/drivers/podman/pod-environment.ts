import { hostname } from 'node:os';
import type { Container, EnvVar } from './manifest-model.ts';
import type { ResolvedData } from './resolved-data.ts';
import { expandVariables, referencedNames } from './variable-expansion.ts';

/** What `fieldRef` can ask of a pod. */
export interface PodFacts {
  readonly name: string;
  readonly namespace: string;
  readonly uid: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly annotations: Readonly<Record<string, string>>;
  readonly podIP: string;
  readonly hostIP: string;
}

export interface Environment {
  /** Everything that Podman may write down and show. */
  readonly plain: Readonly<Record<string, string>>;
  /** What comes from Secrets, directly or by `$(NAME)`. */
  readonly secret: ReadonlyMap<string, string>;
  readonly command: readonly string[] | undefined;
  readonly args: readonly string[] | undefined;
}

/** Kubernetes' order: envFrom first, env after it, later ones win, `$(NAME)` sees what stands before it. */
export function resolveEnvironment(container: Container, facts: PodFacts, data: ResolvedData): Environment {
  const values = new Map<string, string>();
  const secretNames = new Set<string>();
  const set = (name: string, value: string, isSecret: boolean) => {
    values.set(name, value);
    if (isSecret) secretNames.add(name);
    else secretNames.delete(name);
  };
  for (const { prefix = '', configMapRef, secretRef } of container.envFrom ?? []) {
    const ref = configMapRef ?? secretRef;
    const source = (secretRef ? data.secrets : data.configMaps).get(`${facts.namespace}/${ref?.name}`);
    for (const [key, value] of source ?? [])
      set(`${prefix}${key}`, value.toString('utf8'), secretRef !== undefined);
  }
  for (const variable of container.env ?? []) {
    const isSecret =
      variable.valueFrom?.secretKeyRef !== undefined ||
      referencedNames(variable.value ?? '').some((name) => secretNames.has(name));
    const value = valueOf(variable, { values, facts, data });
    if (value !== undefined) set(variable.name, value, isSecret);
  }
  const expand = (text: string) => expandVariables(text, values);
  return {
    plain: Object.fromEntries([...values].filter(([name]) => !secretNames.has(name))),
    secret: new Map([...values].filter(([name]) => secretNames.has(name))),
    command: container.command?.map(expand),
    args: container.args?.map(expand),
  };
}

interface Sources {
  readonly values: ReadonlyMap<string, string>;
  readonly facts: PodFacts;
  readonly data: ResolvedData;
}

function valueOf({ value, valueFrom }: EnvVar, { values, facts, data }: Sources): string | undefined {
  if (!valueFrom) return expandVariables(value ?? '', values);
  const { configMapKeyRef, secretKeyRef, fieldRef } = valueFrom;
  const find = (maps: ResolvedData['configMaps'], ref: { name: string; key: string }) =>
    maps.get(`${facts.namespace}/${ref.name}`)?.get(ref.key)?.toString('utf8');
  if (configMapKeyRef) return find(data.configMaps, configMapKeyRef);
  if (secretKeyRef) return find(data.secrets, secretKeyRef);
  return fieldValue(fieldRef?.fieldPath ?? '', facts);
}

function fieldValue(path: string, facts: PodFacts): string {
  const [, kind, key = ''] = /^metadata\.(labels|annotations)\['(.+)'\]$/.exec(path) ?? [];
  if (kind === 'labels') return facts.labels[key] ?? '';
  if (kind === 'annotations') return facts.annotations[key] ?? '';
  const simple: Readonly<Record<string, string>> = {
    'metadata.name': facts.name,
    'metadata.namespace': facts.namespace,
    'metadata.uid': facts.uid,
    'spec.nodeName': hostname(),
    'spec.serviceAccountName': 'default',
    'status.podIP': facts.podIP,
    'status.hostIP': facts.hostIP,
  };
  return simple[path] ?? '';
}

/**
 * Values of Secrets do not go through Podman: it would write them into a file on its disk and show them in `inspect`. They lie
 * in a file on a tmpfs that is mounted into the container; a shell reads it and becomes the program.
 */
export const secretEnvironmentPath = '/run/selvedge/env';
const readAndBecome = `if [ -e ${secretEnvironmentPath} ]; then set -a; . ${secretEnvironmentPath}; set +a; fi; exec "$@"`;

/** The command line that has the variables of `secretEnvironmentPath`. */
export function withSecretEnvironment(commandLine: readonly string[]): string[] {
  return ['/bin/sh', '-c', readAndBecome, 'sh', ...commandLine];
}

/** Content of `secretEnvironmentPath`. */
export function secretEnvironmentFile(variables: ReadonlyMap<string, string>): string {
  return [...variables].map(([name, value]) => `${name}='${value.replaceAll("'", `'\\''`)}'\n`).join('');
}
