import {
  type Application,
  badRequest,
  type ConfigMap,
  configMaps,
  type ObjectClient,
  type Release,
  releases,
  StatusError,
} from '@selvedge/api';
import type { FleetStore } from '@selvedge/store';
import { type BuiltRelease, buildRelease } from '../controllers/application/build-release.ts';
import {
  imagePlaces,
  namedConfigMaps,
  variablesWithValues,
} from '../controllers/application/release-inputs.ts';
import type { ImageDigests } from '../controllers/application/image-digests.ts';
import { findMissingConfigMaps } from '../controllers/application/missing-config-maps.ts';
import { releasesOf, resolveImages } from '../controllers/application/resolve-images.ts';
import type { ImageResolver } from '../images/image-resolver.ts';
import { findSourceContent } from '../sources/source-content.ts';

export interface PreviewSources {
  readonly client: ObjectClient;
  readonly fleet: FleetStore;
  /** Absent: tags stay as they are. */
  readonly imageResolver?: ImageResolver | undefined;
}

const lookUpMilliseconds = 10_000;

/** The release that an Application would make if it were written now. Throws where it would make none. */
export async function previewRelease(
  { client, fleet, imageResolver }: PreviewSources,
  application: Application,
): Promise<BuiltRelease> {
  const content = await findSourceContent(fleet, application);
  if (content === undefined) {
    throw badRequest(
      'what the source gives is not known before it has been read: write the Application with spec.paused: true, look at its release, and let it go',
    );
  }
  const namespace = application.metadata.namespace ?? '';
  const found = new Map<string, ConfigMap>();
  for (const name of namedConfigMaps(application)) {
    const configMap = await client.find<ConfigMap>(configMaps, { namespace, name });
    if (configMap) found.set(name, configMap);
  }
  const find = (name: string) => found.get(name);
  const missing = findMissingConfigMaps(application, find);
  if (missing) {
    throw new StatusError('Invalid', `it would give no release (${missing.reason}): ${missing.message}`);
  }
  const variables = variablesWithValues(application, find);
  const build = (digests: ImageDigests) =>
    buildRelease(application, { ...content, variables, images: digests });
  const { items } = await client.list<Release>(releases, { namespace });
  const images = await resolveImages(application, imagePlaces(application, content), {
    resolver: imageResolver,
    releases: releasesOf(application, items),
    releaseDigest: (digests) => build(digests).release.spec.digest,
    signal: AbortSignal.timeout(lookUpMilliseconds),
  });
  if (images.unknown.length > 0 && application.spec.images?.tags === 'Resolve') {
    throw new StatusError(
      'Invalid',
      `spec.images.tags is Resolve, and these images could not be looked up: ${images.unknown.join('; ')}`,
    );
  }
  return build(images.digests);
}
