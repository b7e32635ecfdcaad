import { canonicalJson, type KubeObject, type ManifestChange } from '@selvedge/api';
import { stringify } from 'yaml';
import { unifiedDiff } from './unified-diff.ts';

const maxDiffCharacters = 64 * 1024;
const maxAllCharacters = 1024 * 1024;

/** What becomes of each manifest, in the order of their names. Values of Secrets are masked. */
export function manifestChanges(
  before: readonly KubeObject[],
  after: readonly KubeObject[],
  namespace: string,
): { changes: ManifestChange[]; unchanged: number } {
  const [old, wanted] = [byResource(before, namespace), byResource(after, namespace)];
  const changes: ManifestChange[] = [];
  let unchanged = 0;
  let left = maxAllCharacters;
  for (const key of [...new Set([...old.keys(), ...wanted.keys()])].sort()) {
    const [from, to] = [old.get(key), wanted.get(key)];
    if (from && to && canonicalJson(from.manifest) === canonicalJson(to.manifest)) {
      unchanged += 1;
      continue;
    }
    const change = from === undefined ? 'Added' : to === undefined ? 'Removed' : 'Changed';
    const [masked, maskedTo] = maskSecrets(from?.manifest, to?.manifest);
    const text = unifiedDiff(yamlOf(masked), yamlOf(maskedTo));
    const diff = shortened(text, Math.min(maxDiffCharacters, left));
    left = Math.max(0, left - diff.length);
    changes.push({ change, resource: (to ?? from)?.resource ?? key, diff });
  }
  return { changes, unchanged };
}

interface Named {
  readonly resource: string;
  readonly manifest: KubeObject;
}

/** By what makes two manifests the same object at a site: group, kind, namespace and name; a new version is a change. */
function byResource(manifests: readonly KubeObject[], namespace: string): Map<string, Named> {
  return new Map(
    manifests.map((manifest) => {
      const { apiVersion, kind, metadata } = manifest;
      const group = apiVersion.includes('/') ? (apiVersion.split('/')[0] ?? '') : '';
      const own = metadata.namespace ?? namespace;
      const resource = own === namespace ? `${kind}/${metadata.name}` : `${kind}/${own}/${metadata.name}`;
      return [`${resource} ${group}`, { resource, manifest }];
    }),
  );
}

function yamlOf(manifest: unknown): string {
  if (manifest === undefined) return '';
  // A long text on one line would be folded at places that move with every change.
  return stringify(manifest, { sortMapEntries: true, lineWidth: 0, aliasDuplicateObjects: false });
}

function shortened(text: string, most: number): string {
  if (text.length <= most) return text;
  const end = text.lastIndexOf('\n', most);
  return `${text.slice(0, Math.max(0, end))}\n(the rest is left out: it is too long)`.trimStart();
}

const secretFields = ['data', 'stringData'] as const;

/** Of a Secret only the keys are shown, and whether the value of each stays the same. */
function maskSecrets(before: KubeObject | undefined, after: KubeObject | undefined): [unknown, unknown] {
  return [
    before && masked(before, after, 'masked (before)'),
    after && masked(after, before, 'masked (after)'),
  ];
}

function masked(manifest: KubeObject, other: KubeObject | undefined, mark: string): unknown {
  if (manifest.kind !== 'Secret') return manifest;
  const result: Record<string, unknown> = { ...manifest };
  for (const field of secretFields) {
    const values = manifest[field];
    if (values === undefined) continue;
    const others = other?.[field];
    result[field] = isRecord(values)
      ? Object.fromEntries(
          Object.entries(values).map(([key, value]) => {
            const isSame = isRecord(others) && Object.hasOwn(others, key) && others[key] === value;
            return [key, isSame || other === undefined ? 'masked' : mark];
          }),
        )
      : 'masked';
  }
  const { annotations } = manifest.metadata;
  if (annotations !== undefined) {
    // kubectl keeps the whole of what was applied here, values and all.
    const { 'kubectl.kubernetes.io/last-applied-configuration': _, ...shown } = annotations;
    result['metadata'] = { ...manifest.metadata, annotations: shown };
  }
  return result;
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
