import type { Clock, Logger } from '@selvedge/api';
import { ImageSizes } from '../registry/image-sizes.ts';
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

export function openImageSizes(
  { areAsked, ...registries }: RegistryOptions,
  { clock, logger }: { clock: Clock; logger: Logger },
): ImageSizes | undefined {
  return areAsked ? new ImageSizes({ ...registries, clock, logger }) : undefined;
}
