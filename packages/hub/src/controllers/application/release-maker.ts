import { type Application, applications, canonicalJson, type ConfigMap, type Release } from '@selvedge/api';
import { findSourceContent, sourceContentKey } from '../../sources/source-content.ts';
import type { ControllerContext } from '../controller-context.ts';
import { type ImagesCondition, storedStatus } from './application-status.ts';
import { type BuiltRelease, buildRelease } from './build-release.ts';
import { findReleaseFault, type ReleaseFault } from './check-release.ts';
import type { ImageDigests } from './image-digests.ts';
import { findMissingConfigMaps } from './missing-config-maps.ts';
import { imagePlaces, namedConfigMaps, variablesWithValues } from './release-inputs.ts';
import { type ImageFindings, releasesOf, resolveImages } from './resolve-images.ts';

/** The Release that an Application's present content makes, or why it makes none. */
export type MadeRelease = {
  /** As it is stored now: what was looked up stands in its status. */
  readonly application: Application;
  /** Absent: nothing was to be looked up. */
  readonly images?: ImagesCondition;
  /** With a fault that may go by itself. */
  readonly retrySeconds?: number;
} & (
  | { readonly release: Release; readonly bytes: () => Promise<Uint8Array>; readonly fault?: undefined }
  | { readonly fault: ReleaseFault }
);

/** Between two tries of a release that wants all its tags looked up. */
const lookUpAgainSeconds = 60;
const namedUnknown = 3;

/**
 * Makes Releases of what Applications say, what was read of their sources, of ConfigMaps and of registries. Remembers what was made last of
 * each: status changes often, content seldom.
 */
export class ReleaseMaker {
  readonly #ctx: ControllerContext;
  readonly #made = new Map<
    string,
    { readonly version: string; readonly made: MadeRelease & { release: Release } }
  >();
  /** Applications whose images could not be looked up, until they are tried again. */
  readonly #waiting = new Map<
    string,
    {
      readonly version: string;
      readonly until: number;
      readonly made: MadeRelease & { readonly fault: ReleaseFault };
    }
  >();
  /** Applications whose overrides do not fit some site: another label there may mend it. */
  readonly #refused = new Set<string>();

  constructor(ctx: ControllerContext) {
    this.#ctx = ctx;
  }

  /** Keys of Applications that gave no release because of a combination of overrides. */
  get refused(): ReadonlySet<string> {
    return this.#refused;
  }

  async make(key: string, application: Application): Promise<MadeRelease> {
    const version = this.#versionOf(application);
    const known = this.#made.get(key);
    if (known?.version === version) return { ...known.made, application };
    const waiting = this.#findWaiting(key, version);
    if (waiting) return { ...waiting, application };
    const built = await this.#build(application);
    if ('fault' in built) return this.#refuse(key, built, version);
    const { release } = built.built;
    const fault = this.#isThere(built.application, release)
      ? undefined
      : await findReleaseFault(built.application, built.built, this.#ctx.informers.sites.list());
    const { images, application: present } = built;
    const about = { application: present, ...(images === undefined ? {} : { images }) };
    if (fault !== undefined) return this.#refuse(key, { ...about, fault }, version);
    this.#refused.delete(key);
    this.#waiting.delete(key);
    const bytes = () => this.#bytesAgain(present, release);
    this.#made.set(key, { version: this.#versionOf(present), made: { ...about, release, bytes } });
    return { ...about, release, bytes: () => Promise.resolve(built.built.bytes) };
  }

  forget(key: string): void {
    this.#made.delete(key);
    this.#refused.delete(key);
    this.#waiting.delete(key);
  }

  /** What a lookup ended with a moment ago: every write of the status comes by here. */
  #findWaiting(key: string, version: string): MadeRelease | undefined {
    const waiting = this.#waiting.get(key);
    if (waiting?.version !== version) return undefined;
    const seconds = (waiting.until - this.#ctx.clock.now().getTime()) / 1000;
    // More is left than there was: the clock was set back.
    if (seconds <= 0 || seconds > lookUpAgainSeconds) return undefined;
    return { ...waiting.made, retrySeconds: seconds };
  }

  #refuse(key: string, made: MadeRelease & { readonly fault: ReleaseFault }, version: string): MadeRelease {
    this.#made.delete(key);
    if (made.retrySeconds === undefined) this.#waiting.delete(key);
    else {
      const until = this.#ctx.clock.now().getTime() + made.retrySeconds * 1000;
      this.#waiting.set(key, { version, until, made });
    }
    if (made.fault.reason === 'OverrideInvalid') this.#refused.add(key);
    else this.#refused.delete(key);
    return made;
  }

  async #build(
    application: Application,
  ): Promise<
    | { readonly application: Application; readonly images?: ImagesCondition; readonly built: BuiltRelease }
    | (MadeRelease & { readonly fault: ReleaseFault })
  > {
    const { fleet, client, imageResolver, signal } = this.#ctx;
    const content = await findSourceContent(fleet, application);
    if (content === undefined) return { application, fault: notRead(application) };
    const findConfigMap = (name: string) => this.#findConfigMap(application, name);
    const missing = findMissingConfigMaps(application, findConfigMap);
    if (missing) return { application, fault: missing };
    const variables = variablesWithValues(application, findConfigMap);
    const build = (images: ImageDigests) => buildRelease(application, { ...content, variables, images });
    const found = await resolveImages(application, imagePlaces(application, content), {
      resolver: imageResolver,
      releases: releasesOf(application, this.#ctx.informers.releases.list(application.metadata.namespace)),
      releaseDigest: (digests) => build(digests).release.spec.digest,
      signal,
    });
    const images = imagesCondition(application, found);
    const about = images === undefined ? {} : { images };
    if (found.unknown.length > 0 && application.spec.images?.tags === 'Resolve') {
      const message = `spec.images.tags is Resolve, and ${images?.message ?? ''}`;
      return {
        application,
        ...about,
        fault: { reason: 'ImageUnknown', message },
        retrySeconds: lookUpAgainSeconds,
      };
    }
    let present = application;
    // Before any release is made of it: a tag that moves later changes nothing.
    if (
      found.lookedUp !== undefined &&
      canonicalJson(found.lookedUp) !== canonicalJson(application.status?.images ?? null)
    ) {
      const status = { ...storedStatus(application), images: found.lookedUp };
      present = await client.updateStatus<Application>(applications, { ...application, status });
    }
    return { application: present, ...about, built: build(found.digests) };
  }

  /** What was made once and is the newest is not judged again by sites that changed since. */
  #isThere({ metadata, status }: Application, release: Release): boolean {
    if (status?.release !== release.metadata.name) return false;
    const { namespace = '' } = metadata;
    const present = this.#ctx.informers.releases.find({ namespace, name: release.metadata.name });
    return present?.spec.digest === release.spec.digest;
  }

  async #bytesAgain(application: Application, release: Release): Promise<Uint8Array> {
    const built = await this.#build(application);
    if (!('built' in built) || built.built.release.spec.digest !== release.spec.digest) {
      this.#made.clear();
      throw new Error(`the content of Release ${release.metadata.name} changed while it was stored`);
    }
    return built.built.bytes;
  }

  #versionOf(application: Application): string {
    const { metadata, status } = application;
    const configMaps = namedConfigMaps(application).map(
      (name) => this.#findConfigMap(application, name)?.metadata.resourceVersion ?? '',
    );
    return [
      metadata.uid,
      metadata.generation,
      sourceContentKey(application),
      status?.images?.contentDigest,
      ...configMaps,
    ].join(' ');
  }

  #findConfigMap({ metadata }: Application, name: string): ConfigMap | undefined {
    return this.#ctx.informers.configMaps.find({ namespace: metadata.namespace ?? '', name });
  }
}

function notRead({ status }: Application): ReleaseFault {
  const said = status?.conditions?.find(({ type, status: is }) => type === 'SourceReady' && is === 'False');
  const message = said ? `the source has not been read: ${said.message}` : 'the source has not been read yet';
  return { reason: 'SourceNotRead', message };
}

function imagesCondition(
  { spec }: Application,
  { lookedUp, unknown }: ImageFindings,
): ImagesCondition | undefined {
  if (lookedUp === undefined) return undefined;
  const type = 'ImagesResolved';
  if (unknown.length > 0) {
    const shown = unknown.slice(0, namedUnknown).join('; ');
    const rest = unknown.length > namedUnknown ? `; and ${unknown.length - namedUnknown} more` : '';
    const kept = spec.images?.tags === 'Resolve' ? '' : ' They go out with their tags.';
    return {
      type,
      status: 'False',
      reason: 'ImageUnknown',
      message: `these images have no digest: ${shown}${rest}.${kept}`,
    };
  }
  return {
    type,
    status: 'True',
    reason: 'Resolved',
    message:
      'The tags of all images stand for the digests that they had when the images were new in the content.',
  };
}
