import { isDeepStrictEqual } from 'node:util';
import {
  type Machine,
  type MachineClaim,
  machineClaims,
  type MachineImage,
  machineImages,
  machines,
  type MachineSpec,
  resourceName,
  sites,
  StatusError,
} from '@selvedge/api';
import type { AdmissionContext } from '@selvedge/apiserver';
import { requireSecretAccess, type SecretMention } from './require-secret-access.ts';
import { requireWipe } from './require-wipe.ts';

interface Reference {
  readonly namespace: string;
  readonly name: string;
}

/**
 * Throws `Forbidden` for a wipe that the user may not allow, for a Secret that the user may not read, for keys to the disks and for a way into
 * the site that the user may not have.
 */
export function admitMachine(
  machine: Machine,
  previous: Machine | undefined,
  context: AdmissionContext,
): void {
  const { name } = machine.metadata;
  const path = newWipe(machine, previous);
  if (path !== undefined) requireWipe({ ref: machines, name, path, machine: name }, context);
  const opensDisks = hasNewKeys(machine, previous);
  if (opensDisks) requireCreate({ machine, path: 'spec.rescue.authorizedKeys' }, consoleOf(machine), context);
  const { bmc, provision } = machine.spec;
  if (bmc?.console !== undefined && bmc.console !== previous?.spec.bmc?.console) {
    requireCreate({ machine, path: 'spec.bmc.console' }, proxyOf(machine), context);
  }
  const isReachSame = previous !== undefined && isDeepStrictEqual(reach(previous.spec), reach(machine.spec));
  const mentions = [
    ...(isReachSame ? [] : mention('spec.bmc.secretRef', bmc?.secretRef)),
    // What came with the image is on the disks.
    ...(isReachSame && !opensDisks
      ? []
      : mention('spec.provision.userData.secretRef', provision?.userData?.secretRef)),
  ];
  requireSecretAccess({ object: machine, ref: machines }, mentions, context);
}

/** As `admitMachine`, for what a claim does to the machine that it gets. */
export function admitMachineClaim(
  claim: MachineClaim,
  previous: MachineClaim | undefined,
  context: AdmissionContext,
): void {
  const { userData, release } = claim.spec;
  const machine = release?.wipeConsent;
  if (machine !== undefined && machine !== previous?.spec.release?.wipeConsent) {
    const { name } = claim.metadata;
    requireWipe({ ref: machineClaims, name, path: 'spec.release.wipeConsent', machine }, context);
  }
  if (previous !== undefined && isDeepStrictEqual(claimReach(previous), claimReach(claim))) return;
  const mentions = mention('spec.userData.secretRef', userData?.secretRef);
  requireSecretAccess({ object: claim, ref: machineClaims }, mentions, context);
}

/** Throws `Forbidden` for a Secret that the user may not read, and for images of a namespace that the user may not pull. */
export function admitMachineImage(
  image: MachineImage,
  previous: MachineImage | undefined,
  context: AdmissionContext,
): void {
  if (previous !== undefined && isDeepStrictEqual(previous.spec, image.spec)) return;
  const { namespace = 'default', userData } = image.spec;
  const mentions = mention('spec.userData.secretRef', userData?.secretRef);
  requireSecretAccess({ object: image, ref: machineImages }, mentions, context);
  const { user, authorizer } = context;
  const { group, version } = machineImages;
  const wanted = { verb: 'get', group, version, resource: 'repositories', namespace };
  if (authorizer.decide(user, wanted).allowed) return;
  const { name } = image.metadata;
  throw new StatusError(
    'Forbidden',
    `machineimages.selvedge.dev "${name}" is forbidden: sites read it as the applications of namespace "${namespace}" do (spec.namespace), ` +
      `and user ${JSON.stringify(user.name)} may not get repositories there (ClusterRole selvedge:image-puller gives it)`,
    { details: { name, group, kind: machineImages.plural } },
  );
}

/** The field by which data may be lost that could not be lost before. */
function newWipe({ spec }: Machine, previous: Machine | undefined): string | undefined {
  const before = previous?.spec;
  if (spec.wipeConsent !== undefined && spec.wipeConsent !== before?.wipeConsent) return 'spec.wipeConsent';
  const erase = spec.release?.erase ?? 'None';
  if (erase !== 'None' && erase !== before?.release?.erase) return 'spec.release.erase';
  if (spec.wipeConsent === undefined) return undefined;
  // Consent was given for what stood there then: for that box, and for that image on that disk.
  if (!isDeepStrictEqual(spec.identity, before?.identity)) return 'spec.identity';
  if (!isDeepStrictEqual(writtenBy(spec), writtenBy(before))) {
    // Taken away without an erase it only leaves the disk as it is.
    if (spec.provision !== undefined || erase !== 'None') return 'spec.provision';
  }
  if (before?.protected === true && spec.protected !== true) return 'spec.protected';
  if (before?.externallyProvisioned === true && spec.externallyProvisioned !== true) {
    return 'spec.externallyProvisioned';
  }
  return undefined;
}

/** Of what is wanted on a disk, that which decides whether and where it is written. */
function writtenBy(spec: MachineSpec | undefined): unknown {
  const { image, instanceId, rootDevice } = spec?.provision ?? {};
  return { image, instanceId, rootDevice };
}

/** Who has a key of the rescue system is root on the disks; another identity opens those of another box. */
function hasNewKeys({ spec }: Machine, previous: Machine | undefined): boolean {
  const keys = spec.rescue?.authorizedKeys ?? [];
  if (previous === undefined) return keys.length > 0;
  const known = previous.spec.rescue?.authorizedKeys ?? [];
  const isSameBox = isDeepStrictEqual(spec.identity, previous.spec.identity);
  return isSameBox ? keys.some((key) => !known.includes(key)) : keys.length > 0;
}

interface Door {
  /** Plural of the kind, and its subresource. */
  readonly resource: string;
  readonly subresource: string;
  readonly name: string;
  readonly role: string;
}

/** Its keyboard: as much as a shell on its disks. */
function consoleOf({ metadata }: Machine): Door {
  const role = 'selvedge:machine-console';
  return { resource: machines.plural, subresource: 'console', name: metadata.name, role };
}

/** The agent connects to whatever stands there: that is the network of the site. */
function proxyOf({ spec }: Machine): Door {
  const role = 'selvedge:site-operator';
  return { resource: sites.plural, subresource: 'proxy', name: spec.siteName, role };
}

function requireCreate(
  { machine, path }: { readonly machine: Machine; readonly path: string },
  { resource, subresource, name, role }: Door,
  { user, authorizer }: AdmissionContext,
): void {
  const { group, version } = machines;
  const wanted = { verb: 'create', group, version, resource, subresource, name };
  if (authorizer.decide(user, wanted).allowed) return;
  const own = machine.metadata.name;
  throw new StatusError(
    'Forbidden',
    `${resourceName(machines)} "${own}" is forbidden: for ${path} user ${JSON.stringify(user.name)} needs the verb "create" ` +
      `on ${resource}/${subresource} "${name}" (ClusterRole ${role} gives it)`,
    { details: { name: own, group, kind: machines.plural } },
  );
}

/** Where Secrets go: to whom the BMC's address, the site and the identity lead. */
function reach({ siteName, identity, bmc, provision, accepted }: MachineSpec): unknown {
  return { siteName, identity, bmc, provision, accepted };
}

/** All but what becomes of the disks. */
function claimReach({ spec: { release: _release, ...spec } }: MachineClaim): unknown {
  return spec;
}

function mention(path: string, reference: Reference | undefined): SecretMention[] {
  return reference === undefined ? [] : [{ path, ...reference }];
}
