import { type BootMode, isObject, type JsonObject } from '@selvedge/api';
import type { BootSetting } from '../power-driver.ts';
import type { QuirkSet } from '../quirk-set.ts';

/** What a system is to boot: `Boot` of ComputerSystem, as it reads. */
export interface ReadBoot {
  readonly enabled: string;
  readonly target: string;
  /** Absent: the BMC knows no mode. */
  readonly mode?: BootMode;
  readonly httpBootUri?: string;
  /** Absent: it does not say. */
  readonly targets?: readonly string[];
  readonly enables?: readonly string[];
}

export interface BootProperties {
  readonly BootSourceOverrideEnabled?: string;
  readonly BootSourceOverrideTarget?: string;
  readonly BootSourceOverrideMode?: string;
  readonly HttpBootUri?: null;
}

/** One way to ask for it: writes, one after the other, and how it has to read then. */
export interface BootWay {
  readonly writes: readonly BootProperties[];
  readonly enabled: string;
  readonly target: string;
  /** Absent: any will do. */
  readonly mode?: BootMode;
}

export function readBoot(system: JsonObject): ReadBoot {
  const boot = isObject(system['Boot']) ? system['Boot'] : {};
  const enabled = boot['BootSourceOverrideEnabled'];
  const target = boot['BootSourceOverrideTarget'];
  const mode = boot['BootSourceOverrideMode'];
  const targets = namesOf(boot['BootSourceOverrideTarget@Redfish.AllowableValues']);
  const enables = namesOf(boot['BootSourceOverrideEnabled@Redfish.AllowableValues']);
  return {
    enabled: typeof enabled === 'string' ? enabled : 'Disabled',
    target: typeof target === 'string' ? target : 'None',
    ...(mode === 'UEFI' ? { mode } : mode === 'Legacy' ? { mode: 'BIOS' } : {}),
    ...(typeof boot['HttpBootUri'] === 'string' ? { httpBootUri: boot['HttpBootUri'] } : {}),
    ...(targets ? { targets } : {}),
    ...(enables ? { enables } : {}),
  };
}

/**
 * The ways to ask for a boot target, best first. Which ones there are, and their order, is what quirks change.
 *
 * @param target as Redfish names it: `Pxe`.
 */
export function bootWays(
  { target, mode, isOnce }: { target: string; mode?: BootMode; isOnce: boolean },
  now: ReadBoot,
  quirks: QuirkSet,
): BootWay[] {
  const canOnce = isOnce && !quirks.has('OnceIgnored') && now.enables?.includes('Once') !== false;
  const hasMode = now.mode !== undefined && !quirks.has('NoBootMode');
  const sentMode = hasMode ? (mode ?? now.mode) : undefined;
  const uri = now.httpBootUri === undefined ? {} : { HttpBootUri: null };
  const expected = hasMode && mode !== undefined && !quirks.has('BootModeNeedsReboot') ? { mode } : {};
  const minimal = (enabled: string): BootProperties => ({
    BootSourceOverrideEnabled: enabled,
    BootSourceOverrideTarget: target,
    ...(target === 'UefiHttp' ? uri : {}),
  });
  const full = (enabled: string): BootProperties => ({
    ...minimal(enabled),
    ...(sentMode === undefined ? {} : { BootSourceOverrideMode: redfishMode(sentMode) }),
  });
  const way = (enabled: string, ...writes: readonly BootProperties[]): BootWay => ({
    writes,
    enabled,
    target,
    ...expected,
  });
  const first = canOnce ? 'Once' : 'Continuous';
  const spare = canOnce ? ['Continuous'] : [];
  if (quirks.has('MinimalBootRequest') || sentMode === undefined)
    // No mode can be asked for, so none can be expected.
    return [first, ...spare].map((enabled) => ({ writes: [minimal(enabled)], enabled, target }));
  const partial = quirks.has('FullBootRequest')
    ? []
    : [
        way(first, minimal(first)),
        way(first, { BootSourceOverrideMode: redfishMode(sentMode) }, minimal(first)),
      ];
  return [way(first, full(first)), ...partial, ...spare.map((enabled) => way(enabled, full(enabled)))];
}

export function isHonoured(read: ReadBoot, way: BootWay): boolean {
  return (
    read.enabled === way.enabled &&
    read.target === way.target &&
    (way.mode === undefined || read.mode === undefined || read.mode === way.mode)
  );
}

export const redfishTargets: Readonly<Record<BootSetting['target'], string>> = {
  Network: 'Pxe',
  HTTP: 'UefiHttp',
  Disk: 'Hdd',
};

function redfishMode(mode: BootMode): string {
  return mode === 'BIOS' ? 'Legacy' : 'UEFI';
}

function namesOf(value: unknown): string[] | undefined {
  return Array.isArray(value) && value.length > 0
    ? value.filter((name) => typeof name === 'string')
    : undefined;
}
