import { isDeepStrictEqual } from 'node:util';
import {
  type BmcOrder,
  type KnownMachine,
  type Machine,
  type MachineArchitecture,
  type MachineImage,
  type MachineOrder,
  type MachineScript,
  matchesLabelSelector,
  parseDuration,
  parseImageReference,
  type RackImage,
  type RackInspectionImage,
  type RackNetwork,
  type RackOrder,
  sealedId,
  type Site,
  type SiteScriptOrder,
  type UserData,
} from '@selvedge/api';
import { sha256Digest, shortenedName } from '@selvedge/api/node';
import { seedNetworkConfig } from './network-config.ts';
import { parseScript } from './parse-script.ts';

/** What a rack's order is made of: everything, of all sites. */
export interface RackInputs {
  readonly machines: readonly Machine[];
  readonly images: readonly MachineImage[];
  readonly scripts: readonly MachineScript[];
}

const defaultLeaseSeconds = 600;
const longestInstanceId = 100;
const byName = (a: { readonly name: string }, b: { readonly name: string }) => (a.name < b.name ? -1 : 1);

/** What the site's rack is to do; `undefined` when it has none. Pure: the same objects make the same order. */
export function rackOrder(site: Site, inputs: RackInputs): RackOrder | undefined {
  const rack = site.spec?.rack;
  if (rack === undefined) return undefined;
  const machines = orderedMachines(site.metadata.name, inputs.machines);
  const wanted = new Set(machines.flatMap(({ provision }) => provision?.image ?? []));
  return {
    discovery: rack.discovery ?? 'Record',
    ...(rack.writesAtOnce === undefined ? {} : { writesAtOnce: rack.writesAtOnce }),
    networks: rack.networks.map(networkOrder),
    inspection: inspectionImages(rack.inspectionImages, inputs.images),
    images: inputs.images
      .flatMap((image) => (wanted.has(image.metadata.name) ? (diskImage(image) ?? []) : []))
      .sort(byName),
    scripts: scriptOrders(site, inputs.scripts),
    machines,
  };
}

/**
 * The other way round, for a Site that was restored from a backup: a merge patch of `spec` that gives the networks of this order. Empty when the spec says the same already, or the
 * order says nothing. Which images inspect stays as it is there.
 */
export function specOfRackOrder(
  order: RackOrder | undefined,
  present: NonNullable<Site['spec']>['rack'],
): Record<string, unknown> {
  if (order === undefined) return {};
  const { discovery, networks, writesAtOnce } = order;
  const isSame =
    present !== undefined &&
    (present.discovery ?? 'Record') === discovery &&
    present.writesAtOnce === writesAtOnce &&
    isDeepStrictEqual(present.networks.map(networkOrder), networks);
  if (isSame) return {};
  const toSpec = ({ leaseSeconds = defaultLeaseSeconds, ...rest }: RackNetwork) => ({
    ...rest,
    leaseTime: `${leaseSeconds}s`,
  });
  const ofWrites = writesAtOnce === undefined ? {} : { writesAtOnce };
  return { rack: { discovery, ...ofWrites, networks: networks.map(toSpec) } };
}

/** By uid. One that is being deleted is left out: its box is left as it is. */
function orderedMachines(site: string, machines: readonly Machine[]): MachineOrder[] {
  return machines
    .filter(({ spec, metadata }) => spec.siteName === site && metadata.deletionTimestamp === undefined)
    .map(machineOrder)
    .toSorted((a, b) => (a.uid < b.uid ? -1 : 1));
}

export function machineOrder(machine: Machine): MachineOrder {
  const { metadata, spec } = machine;
  const { uid = '', name, generation = 1 } = metadata;
  const known = knownMachine(machine);
  const { identity, bmc, provision, inspection, requests = {}, rescue, broken } = spec;
  return {
    name,
    uid,
    generation,
    identity,
    accepted: spec.accepted ?? true,
    ...(bmc === undefined ? {} : { bmc: bmcOrder(bmc) }),
    ...(spec.bootMode === undefined ? {} : { bootMode: spec.bootMode }),
    ...(spec.localBoot === undefined ? {} : { localBoot: spec.localBoot }),
    ...(spec.power === undefined ? {} : { power: spec.power }),
    allocated: spec.consumer !== undefined,
    ...(provision === undefined ? {} : { provision: provisionOrder(provision, { name, uid }) }),
    erase: spec.release?.erase ?? 'None',
    wipeConsent: spec.wipeConsent === name,
    ...(spec.address === undefined ? {} : { address: spec.address }),
    inspection: {
      tests: [...(inspection?.tests ?? [])].sort(),
      ...(inspection?.disabled === true ? { isDisabled: true } : {}),
    },
    requests: {
      ...(requests.inspectTime === undefined ? {} : { inspect: requests.inspectTime }),
      ...(requests.rebootTime === undefined ? {} : { reboot: requests.rebootTime }),
      ...(requests.retryTime === undefined ? {} : { retry: requests.retryTime }),
    },
    ...(rescue === undefined ? {} : { rescue: { authorizedKeys: rescue.authorizedKeys ?? [] } }),
    ...(broken === undefined ? {} : { broken: { reason: broken.reason } }),
    ...(spec.protected === true ? { isProtected: true } : {}),
    ...(spec.externallyProvisioned === true ? { isExternal: true } : {}),
    ...(known === undefined ? {} : { known }),
  };
}

/**
 * By what is on its disk and what is wanted, not by its phase: in an ordinary life it changes with `spec`, and when an image was written and when that was confirmed. One that is free
 * needs none: it is inspected anew.
 */
export function knownMachine({ spec, status }: Machine): KnownMachine | undefined {
  const { provisioned, inspectedTime } = status ?? {};
  if (provisioned !== undefined) {
    return { phase: provisioned.confirmedTime === undefined ? 'Provisioning' : 'Provisioned', provisioned };
  }
  if (inspectedTime === undefined) return undefined;
  if (spec.provision !== undefined) return { phase: 'Provisioning' };
  return spec.consumer === undefined ? undefined : { phase: 'Allocated' };
}

/** Ids of the Secrets whose values the rack needs for the order. */
export function secretsOfOrder({ machines, images }: Pick<RackOrder, 'machines' | 'images'>): Set<string> {
  const ofUserData = (userData: UserData | undefined) =>
    userData !== undefined && 'secret' in userData ? [userData.secret] : [];
  return new Set([
    ...machines.flatMap(({ bmc, provision }) => [
      ...(bmc?.credentials === undefined ? [] : [bmc.credentials]),
      ...ofUserData(provision?.userData),
    ]),
    ...images.flatMap(({ userData }) => ofUserData(userData)),
  ]);
}

/** Which of the hub's own names (`host:port`) images of the order use: at the site these lead through the hub's connection. Sorted. */
export function hubRegistriesOf(
  { images, inspection }: Pick<RackOrder, 'images' | 'inspection'>,
  own: readonly string[],
): string[] {
  const named = [...images, ...inspection].map(({ reference }) => parseImageReference(reference)?.host);
  return own.filter((host) => named.includes(host)).toSorted();
}

function secretId({ namespace, name }: { readonly namespace: string; readonly name: string }): string {
  return sealedId({ kind: 'Secret', namespace, name });
}

function bmcOrder({ secretRef, ...bmc }: NonNullable<Machine['spec']['bmc']>): BmcOrder {
  return { ...bmc, ...(secretRef === undefined ? {} : { credentials: secretId(secretRef) }) };
}

type Provision = NonNullable<Machine['spec']['provision']>;

function provisionOrder(
  provision: Provision,
  { name, uid }: { readonly name: string; readonly uid: string },
): NonNullable<MachineOrder['provision']> {
  const { image, hostname, userData, networkConfig, rootDevice, instanceId } = provision;
  const given = userData && userDataOrder(userData);
  return {
    // Also when there is no such MachineImage: an order without it would release the machine.
    image,
    hostname: hostname ?? hostNameOf(name),
    ...(given === undefined ? {} : { userData: given }),
    ...(networkConfig === undefined ? {} : { networkConfig: seedOf(provision, networkConfig) }),
    ...(rootDevice === undefined ? {} : { rootDevice }),
    instanceId: instanceId ?? shortenedName(`${uid}.${image}`, longestInstanceId),
  };
}

/** Objects are never changed: what was read once stays so. Orders are made often, and of all machines of a site. */
const seeds = new WeakMap<Provision, string>();

function seedOf(provision: Provision, networkConfig: string): string {
  const known = seeds.get(provision);
  if (known !== undefined) return known;
  const seed = seedNetworkConfig(networkConfig);
  seeds.set(provision, seed);
  return seed;
}

const longestHostName = 63;

/** Names of objects may have dots and be longer. */
function hostNameOf(name: string): string {
  return shortenedName(name.replaceAll('.', '-'), longestHostName);
}

function userDataOrder({ text, secretRef }: NonNullable<Provision['userData']>): UserData | undefined {
  if (secretRef !== undefined) return { secret: secretId(secretRef), key: secretRef.key ?? 'userData' };
  return text === undefined ? undefined : { text };
}

function networkOrder(
  network: NonNullable<NonNullable<Site['spec']>['rack']>['networks'][number],
): RackNetwork {
  const { leaseTime, dhcp = 'Own', ...rest } = network;
  return { ...rest, dhcp, leaseSeconds: parseDuration(leaseTime ?? '') ?? defaultLeaseSeconds };
}

/** Those that the site names, or the newest for each architecture. */
function inspectionImages(
  names: readonly string[] | undefined,
  images: readonly MachineImage[],
): RackInspectionImage[] {
  const usable = images.filter(
    ({ metadata, spec }) =>
      spec.type === 'Inspection' &&
      metadata.deletionTimestamp === undefined &&
      (names === undefined || names.includes(metadata.name)),
  );
  const newest = new Map<MachineArchitecture, MachineImage>();
  for (const image of usable) {
    const architecture = image.spec.architecture ?? 'amd64';
    const known = newest.get(architecture);
    if (known === undefined || isNewer(image, known)) newest.set(architecture, image);
  }
  return [...newest]
    .map(([architecture, { metadata, spec }]) => ({
      name: metadata.name,
      architecture,
      reference: spec.reference,
      namespace: spec.namespace ?? 'default',
    }))
    .sort(byName);
}

function isNewer(a: MachineImage, b: MachineImage): boolean {
  const [timeOfA = '', timeOfB = ''] = [a.metadata.creationTimestamp, b.metadata.creationTimestamp];
  return timeOfA > timeOfB || (timeOfA === timeOfB && a.metadata.name > b.metadata.name);
}

/** `undefined` for one that cannot be written: the rack says so of the machines that name it. */
function diskImage({ metadata, spec }: MachineImage): RackImage | undefined {
  const { type = 'Disk', digest, sizeBytes, diskBytes } = spec;
  if (type !== 'Disk' || digest === undefined || sizeBytes === undefined) return undefined;
  const userData = spec.userData && userDataOrder(spec.userData);
  return {
    name: metadata.name,
    architecture: spec.architecture ?? 'amd64',
    bootModes: spec.bootModes ?? ['BIOS', 'UEFI'],
    reference: spec.reference,
    namespace: spec.namespace ?? 'default',
    format: spec.format ?? 'Raw',
    digest,
    sizeBytes,
    ...(diskBytes === undefined ? {} : { diskBytes }),
    confirmation: spec.confirmation ?? 'CloudInit',
    ...(userData === undefined ? {} : { userData }),
  };
}

/** Their texts are content of the hub, by digest. */
function scriptOrders({ metadata }: Site, scripts: readonly MachineScript[]): SiteScriptOrder[] {
  return scripts
    .flatMap(({ metadata: { name }, spec }) => {
      const { siteSelector } = spec;
      if (siteSelector !== undefined && !matchesLabelSelector(metadata.labels, siteSelector)) return [];
      const parsed = parseScript(spec.script, name);
      if ('errors' in parsed) return [];
      return [{ name, digest: sha256Digest(spec.script), metadata: parsed.metadata }];
    })
    .sort(byName);
}
