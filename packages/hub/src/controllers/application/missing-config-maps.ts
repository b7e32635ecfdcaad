import type { Application } from '@selvedge/api';
import type { ReleaseFault } from './check-release.ts';
import { type FindConfigMap, namedConfigMaps } from './release-inputs.ts';

/** Why there is no release: a ConfigMap that is away is no answer. A key that is not in one that is there has no value. */
export function findMissingConfigMaps(
  application: Application,
  find: FindConfigMap,
): ReleaseFault | undefined {
  const missing = namedConfigMaps(application).filter((name) => find(name) === undefined);
  if (missing.length === 0) return undefined;
  const { namespace = '' } = application.metadata;
  const [what, they] = missing.length === 1 ? ['ConfigMap', 'is'] : ['ConfigMaps', 'are'];
  return {
    reason: 'ReferenceMissing',
    message: `spec.variables takes values from ${what} ${missing.join(', ')}, which ${they} not in namespace ${namespace}: create what is missing, or take it out of spec.variables.`,
  };
}
