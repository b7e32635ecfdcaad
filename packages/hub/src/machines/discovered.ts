import {
  isNoSerial,
  isNoUuid,
  type Machine,
  type MachineIdentity,
  type MachineReport,
  sharedIdentity,
} from '@selvedge/api';

/** On Machines that the hub made of a box that nobody had named. */
export const discoveredAnnotation = 'selvedge.dev/discovered';

/** Key of a report about a box that no order names: the address of the port that it boots from. */
export function boxAddress(key: string): string | undefined {
  return key.startsWith('box:') ? key.slice('box:'.length) : undefined;
}

/** The Machine of a box: it waits for a person to accept it. */
export function discoveredMachine(site: string, macAddress: string, report: MachineReport): Machine {
  return {
    apiVersion: 'selvedge.dev/v1alpha1',
    kind: 'Machine',
    metadata: {
      name: `${site}-${macAddress.replaceAll(':', '-')}`,
      annotations: { [discoveredAnnotation]: 'true' },
    },
    spec: { siteName: site, identity: boxIdentity(macAddress, report.seen), accepted: false },
  };
}

/** What tells the box from others: what its firmware says for want of anything better is left out. */
export function boxIdentity(macAddress: string, seen: MachineIdentity): Machine['spec']['identity'] {
  const { uuid, serials = [], macAddresses = [] } = seen;
  const useful = [...new Set(serials)].filter((serial) => !isNoSerial(serial));
  return {
    ...(uuid === undefined || isNoUuid(uuid) ? {} : { uuid }),
    ...(useful.length === 0 ? {} : { serials: useful }),
    macAddresses: [...new Set([macAddress, ...macAddresses])],
  };
}

/** Made by the hub, and nobody has wanted anything of it. */
export function isUntouchedDiscovery({ metadata, spec }: Pick<Machine, 'metadata' | 'spec'>): boolean {
  const { siteName: _site, identity: _identity, accepted, ...wishes } = spec;
  return (
    metadata.annotations?.[discoveredAnnotation] === 'true' &&
    accepted === false &&
    Object.keys(wishes).length === 0
  );
}

/** The Machine that a person made of the same box: it takes the place of the discovered one. */
export function successorOf(
  discovered: Pick<Machine, 'metadata' | 'spec'>,
  others: readonly Pick<Machine, 'metadata' | 'spec'>[],
): { readonly name: string; readonly shared: string } | undefined {
  if (!isUntouchedDiscovery(discovered)) return undefined;
  for (const other of others) {
    const { metadata, spec } = other;
    const isOther = metadata.uid !== discovered.metadata.uid && metadata.deletionTimestamp === undefined;
    if (!isOther || spec.siteName !== discovered.spec.siteName || isUntouchedDiscovery(other)) continue;
    const shared = sharedIdentity(discovered.spec.identity, spec.identity);
    if (shared !== undefined) return { name: metadata.name, shared };
  }
  return undefined;
}
