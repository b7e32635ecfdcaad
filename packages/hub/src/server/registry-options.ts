import type { Clock, Logger } from '@selvedge/api';
import { ImageSizes } from '../registry/image-sizes.ts';
import { HubOptionError } from './hub-option-error.ts';

/** Whether and how image registries are asked for sizes, as on the command line. */
export interface RegistryFlags {
  /** false (`--no-registry-lookup`): the hub asks none. */
  readonly registryLookup?: boolean;
  /** `host[:port]` of registries that speak http; only these may be at an address of this machine. */
  readonly insecureRegistry?: readonly string[];
}

export interface RegistryOptions {
  readonly areAsked: boolean;
  readonly insecureRegistries: readonly string[];
}

/** Throws HubOptionError. */
export function resolveRegistryOptions({
  registryLookup = true,
  insecureRegistry = [],
}: RegistryFlags): RegistryOptions {
  for (const registry of insecureRegistry) {
    if (/^[\w.[\]:-]+$/.test(registry) && URL.canParse(`http://${registry}`)) continue;
    throw new HubOptionError(`--insecure-registry must be HOST or HOST:PORT, not "${registry}"`);
  }
  return { areAsked: registryLookup, insecureRegistries: insecureRegistry };
}

export function openImageSizes(
  { areAsked, insecureRegistries }: RegistryOptions,
  { clock, logger }: { clock: Clock; logger: Logger },
): ImageSizes | undefined {
  return areAsked ? new ImageSizes({ insecureRegistries, clock, logger }) : undefined;
}
