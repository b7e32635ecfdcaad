import { type Application, type KubeObject, validateManifests } from '@selvedge/api';
import { type AddedReading, SourceError, type SourceReading } from './source-reading.ts';

/** Before any site sees it. Throws `SourceError`. */
export function checkReading(
  { metadata }: Application,
  { revision, manifests, variants = [] }: SourceReading,
): void {
  checkManifests(manifests, { namespace: metadata.namespace ?? '', revision, what: '' });
  checkVariants({ metadata }, { revision, variants });
}

/** The same for what is added to a source that has not moved. */
export function checkVariants(
  { metadata }: Pick<Application, 'metadata'>,
  { revision, variants }: AddedReading,
): void {
  for (const variant of variants) {
    if (variant.manifests === undefined) continue;
    const what = ` with the values of ${variant.overrides.join(', ')}`;
    checkManifests(variant.manifests, { namespace: metadata.namespace ?? '', revision, what });
  }
}

const maxFaults = 3;

function checkManifests(
  manifests: readonly KubeObject[],
  { namespace, revision, what }: { namespace: string; revision: string; what: string },
): void {
  if (manifests.length === 0) {
    throw new SourceError(
      'SourceEmpty',
      `Revision ${revision}${what} gives no manifest at all. To remove the application everywhere, delete it.`,
    );
  }
  const errors = validateManifests(manifests, 'manifests', namespace);
  if (errors.length === 0) return;
  const faults = errors
    .slice(0, maxFaults)
    .map(({ field, message }) => `${nameFor(manifests, field)}: ${message}`);
  const more = errors.length > maxFaults ? `; and ${errors.length - maxFaults} more` : '';
  const fault =
    errors.length === 1 && errors[0]?.field === 'manifests' ? 'LimitExceeded' : 'InvalidManifests';
  throw new SourceError(fault, `Revision ${revision}${what}: ${faults.join('; ')}${more}.`);
}

/** `manifests[3].metadata.name` as `Deployment/till metadata.name`. */
function nameFor(manifests: readonly KubeObject[], field: string): string {
  const match = /^manifests\[(\d+)\]\.?(.*)$/.exec(field);
  const manifest = manifests[Number(match?.[1])] as Partial<KubeObject> | undefined;
  if (!match || !manifest) return field;
  const name: unknown = manifest.metadata?.name;
  return `${String(manifest.kind)}/${typeof name === 'string' ? name : '?'} ${match[2] ?? ''}`.trimEnd();
}
