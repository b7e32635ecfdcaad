import {
  type Application,
  type ConfigMap,
  canonicalJson,
  type ReleaseVariable,
  releaseOverrides,
  releaseVariables,
} from '@selvedge/api';
import { sha256Digest } from '@selvedge/api/node';
import type { SourceContent } from '../../sources/source-content.ts';
import type { ImageDigests, ImagePlaces } from './image-digests.ts';

/** Everything beside the spec that a release is made of, as it is now. */
export interface ReleaseInputs extends SourceContent {
  readonly variables: readonly ReleaseVariable[];
  readonly images: ImageDigests;
}

export type FindConfigMap = (name: string) => ConfigMap | undefined;

/** Names of the ConfigMaps that variables take values from. */
export function namedConfigMaps({ spec }: Pick<Application, 'spec'>): string[] {
  const names = (spec.variables ?? []).flatMap(({ from = [] }) =>
    from.flatMap(({ configMapKeyRef }) => (configMapKeyRef ? [configMapKeyRef.name] : [])),
  );
  return [...new Set(names)].sort();
}

/** The variables of an Application with what stands in ConfigMaps now. */
export function variablesWithValues(application: Application, find: FindConfigMap): ReleaseVariable[] {
  return releaseVariables(application.spec.variables, (name) => find(name)?.data);
}

/** Where the content names images, before any is looked up. */
export function imagePlaces(application: Application, content: SourceContent): ImagePlaces {
  return { ...content, overrides: releaseOverrides(application.spec.overrides) };
}

/** Same digest: the images were looked up for this very content. */
export function digestOfPlaces(application: Application, places: ImagePlaces): string {
  const tags = application.spec.images?.tags ?? 'ResolveIfPossible';
  return sha256Digest(new TextEncoder().encode(canonicalJson({ ...places, tags })));
}
