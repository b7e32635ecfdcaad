import {
  type Application,
  type ConfigMap,
  configMaps,
  isObject,
  type ObjectClient,
  type Secret,
  secrets,
} from '@selvedge/api';
import { parseValue } from '../manifests/parse-manifests.ts';
import { SourceError } from '../source-reading.ts';

export interface HelmValues {
  /** Later ones over earlier ones, as helm merges them. */
  readonly layers: readonly Record<string, unknown>[];
  /** Changes when one of the objects does; tells nothing of what is in them. */
  readonly versions: readonly string[];
  /** Texts out of Secrets, which no message may hold. */
  readonly hidden: readonly string[];
}

interface FoundText {
  readonly name: string;
  readonly version: string;
  readonly text: string;
  readonly isSecret: boolean;
}

type Entry = NonNullable<NonNullable<Application['spec']['source']['helm']>['valuesFrom']>[number];

/** Values of ConfigMaps and Secrets of the hub, then those of the source. Throws `SourceError`. */
export async function readHelmValues(
  client: Pick<ObjectClient, 'find'>,
  application: Application,
  signal: AbortSignal,
): Promise<HelmValues> {
  const { values, valuesFrom = [] } = application.spec.source.helm ?? {};
  const layers: Record<string, unknown>[] = [];
  const hidden: string[] = [];
  const found = await findTexts(client, application.metadata.namespace ?? '', valuesFrom);
  for (const { name, text, isSecret } of found) {
    const value = await parseValue({ name, text }, signal).catch((error: unknown) => {
      // What the parser says quotes what it cannot read.
      if (isSecret && error instanceof SourceError) {
        throw new SourceError(error.fault, `${name} is no YAML that can be read.`);
      }
      throw error;
    });
    if (value === null) continue;
    if (!isObject(value))
      throw new SourceError('RenderFailed', `${name} holds no values: it has to be a YAML mapping.`);
    layers.push(value);
    if (isSecret) hidden.push(...textsIn(value));
  }
  if (isObject(values)) layers.push(values);
  return { layers, hidden, versions: found.map(({ version }) => version) };
}

/** What decides the values, without reading them. Throws `SourceError`. */
export async function findValueVersions(
  client: Pick<ObjectClient, 'find'>,
  { metadata, spec }: Application,
): Promise<readonly string[]> {
  const found = await findTexts(client, metadata.namespace ?? '', spec.source.helm?.valuesFrom ?? []);
  return found.map(({ version }) => version);
}

async function findTexts(
  client: Pick<ObjectClient, 'find'>,
  namespace: string,
  entries: readonly Entry[],
): Promise<FoundText[]> {
  const found: FoundText[] = [];
  for (const [index, { configMapKeyRef, secretKeyRef, optional }] of entries.entries()) {
    const where = `spec.source.helm.valuesFrom[${index}]`;
    const ref = configMapKeyRef ?? secretKeyRef;
    if (!ref || (configMapKeyRef && secretKeyRef)) {
      throw new SourceError(
        'ReferenceMissing',
        `${where} has to name a key of a ConfigMap or of a Secret: one of them.`,
      );
    }
    const key = { namespace, name: ref.name };
    const kind = configMapKeyRef ? 'ConfigMap' : 'Secret';
    const object = configMapKeyRef
      ? await client.find<ConfigMap>(configMaps, key)
      : await client.find<Secret>(secrets, key);
    const data = object?.data?.[ref.key];
    if (object === undefined || data === undefined) {
      if (optional === true) continue;
      const lack =
        object === undefined
          ? `there is no ${kind} ${ref.name}`
          : `${kind} ${ref.name} has no key ${ref.key}`;
      throw new SourceError('ReferenceMissing', `${where}: ${lack} in namespace ${namespace} at the hub.`);
    }
    found.push({
      name: `${kind} ${ref.name}, key ${ref.key}`,
      version: object.metadata.resourceVersion ?? '',
      text: configMapKeyRef ? data : Buffer.from(data, 'base64').toString('utf8'),
      isSecret: !configMapKeyRef,
    });
  }
  return found;
}

/** Shorter ones would tear messages apart, and stand in them by chance. */
const shortestHidden = 4;

function textsIn(value: unknown): string[] {
  if (typeof value === 'string') return value.split('\n').filter((line) => line.length >= shortestHidden);
  if (typeof value === 'number') return textsIn(String(value));
  if (typeof value !== 'object' || value === null) return [];
  return Object.values(value).flatMap(textsIn);
}

/** The error without texts out of Secrets. */
export function withoutHidden(error: unknown, hidden: readonly string[]): unknown {
  if (!(error instanceof SourceError) || hidden.length === 0) return error;
  const longestFirst = hidden.toSorted((a, b) => b.length - a.length);
  const message = longestFirst.reduce((text, secret) => text.replaceAll(secret, '***'), error.message);
  return message === error.message ? error : new SourceError(error.fault, message);
}
