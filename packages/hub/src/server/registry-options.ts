import type { Clock, Logger } from '@selvedge/api';
import type { RegistryLogins } from '../credentials/registry-logins.ts';
import { ImageRepositories, type OwnImages } from '../registry/image-repositories.ts';
import { ImageSizes } from '../registry/image-sizes.ts';
import type { ImageResolver } from '../images/image-resolver.ts';
import { RegistryImageResolver } from '../images/registry-image-resolver.ts';
import { RegistryArtifacts } from '../registry/registry-artifacts.ts';
import type { ArtifactRegistry } from '../sources/artifact-registry.ts';
import { HubOptionError } from './hub-option-error.ts';

/** Whether and how image registries are asked for sizes, as on the command line. */
export interface RegistryFlags {
  /** false (`--no-registry-lookup`): the hub asks none. */
  readonly registryLookup?: boolean;
  /** `host[:port]` of registries that speak http, at whatever address. */
  readonly insecureRegistry?: readonly string[];
  /** `host[:port]` of registries that speak https and may be in a private network. */
  readonly privateRegistry?: readonly string[];
}

export interface RegistryOptions {
  readonly areAsked: boolean;
  readonly insecureRegistries: readonly string[];
  readonly privateRegistries: readonly string[];
}

/** Throws HubOptionError. */
export function resolveRegistryOptions({
  registryLookup = true,
  insecureRegistry = [],
  privateRegistry = [],
}: RegistryFlags): RegistryOptions {
  checkHosts('--insecure-registry', insecureRegistry);
  checkHosts('--private-registry', privateRegistry);
  return {
    areAsked: registryLookup,
    insecureRegistries: insecureRegistry,
    privateRegistries: privateRegistry,
  };
}

function checkHosts(flag: string, registries: readonly string[]): void {
  for (const registry of registries) {
    if (/^[\w.[\]:-]+$/.test(registry) && URL.canParse(`http://${registry}`)) continue;
    throw new HubOptionError(`${flag} must be HOST or HOST:PORT, not "${registry}"`);
  }
}

/** Everything by which the hub reads images elsewhere. */
export interface HubImages {
  /** Also of sources and exports that name a registry themselves: they are read whatever `--no-registry-lookup` says. */
  readonly repositories: ImageRepositories;
  /** Absent: sizes are not looked up. */
  readonly sizes: ImageSizes | undefined;
  /** Absent: tags are not resolved. */
  readonly resolver: ImageResolver | undefined;
  readonly artifacts: ArtifactRegistry;
}

export function openHubImages(
  { areAsked, insecureRegistries, privateRegistries }: RegistryOptions,
  context: {
    readonly logins: RegistryLogins | undefined;
    readonly own: OwnImages | undefined;
    readonly clock: Clock;
    readonly logger: Logger;
  },
): HubImages {
  const { logins, own, clock, logger } = context;
  const repositories = new ImageRepositories({ insecureRegistries, privateRegistries, logins, own });
  return {
    repositories,
    sizes: areAsked ? new ImageSizes({ repositories, clock, logger }) : undefined,
    resolver: areAsked ? new RegistryImageResolver({ repositories, clock, logger }) : undefined,
    artifacts: new RegistryArtifacts(repositories),
  };
}
