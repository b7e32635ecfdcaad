import { isDeepStrictEqual } from 'node:util';
import type { KubeObject, Machine, MachineImage, Site } from '@selvedge/api';
import type { Informer, KeySource } from '@selvedge/kube';
import { knownMachine } from '../../machines/rack-order.ts';
import type { ControllerContext } from '../controller-context.ts';

type Informers = ControllerContext['informers'];

/** Names of Sites whose rack may have another order by now, as keys. */
export function keysFromRacks({ informers }: Pick<ControllerContext, 'informers'>): KeySource[] {
  const { machines, machineImages, machineScripts, secretVersions, registryCredentials } = informers;
  return [
    fromChanges(machines, isSameMachineOrder, ({ spec }) => [spec.siteName]),
    fromChanges(machineImages, isSameOrder, () => racks(informers.sites)),
    // A token that was renewed is no news to sites: they ask for it when they need it.
    fromChanges(registryCredentials, isSameOrder, () => racks(informers.sites)),
    fromChanges(machineScripts, isSameOrder, () => racks(informers.sites)),
    fromChanges(
      secretVersions,
      (secret, previous) => secret.version === previous.version,
      (secret) => sitesOfSecret(informers, secret),
    ),
  ];
}

function isSameMachineOrder(machine: Machine, previous: Machine): boolean {
  return isSameOrder(machine, previous) && isDeepStrictEqual(knownMachine(machine), knownMachine(previous));
}

/** Status is what racks say, and no order to them. */
function isSameOrder(object: KubeObject, previous: KubeObject): boolean {
  const { uid, generation, deletionTimestamp } = object.metadata;
  return (
    uid === previous.metadata.uid &&
    generation === previous.metadata.generation &&
    deletionTimestamp === previous.metadata.deletionTimestamp
  );
}

/** What is there when the hub starts is no news: every Site is looked at then. */
function fromChanges<T extends KubeObject>(
  informer: Informer<T>,
  isNoNews: (object: T, previous: T) => boolean,
  sitesOf: (object: T) => readonly string[],
): KeySource {
  return {
    synced: informer.synced,
    subscribe: (enqueue) => {
      const tell = (object: T) => {
        if (informer.isSynced) for (const site of sitesOf(object)) enqueue(site);
      };
      return informer.onChange({
        add: tell,
        delete: tell,
        update: (object, previous) => {
          if (!isNoNews(object, previous)) tell(object);
        },
      });
    },
  };
}

function racks(sites: Informers['sites']): string[] {
  return sites
    .list()
    .filter(hasRack)
    .map(({ metadata }) => metadata.name);
}

const hasRack = ({ spec }: Site): boolean => spec?.rack !== undefined;

/** By a Machine that names it, by an image whose user data it is, or by the login of a registry that an image is in. */
function sitesOfSecret(
  { machines, machineImages, registryCredentials, sites }: Informers,
  secret: KubeObject,
): string[] {
  const { name, namespace = '' } = secret.metadata;
  const isNamed = (reference: { namespace: string; name: string } | undefined) =>
    reference?.name === name && reference.namespace === namespace;
  const opens = registryCredentials.list(namespace).some(({ spec }) => spec.static?.secretRef.name === name);
  const isOfImage = ({ spec }: MachineImage) =>
    isNamed(spec.userData?.secretRef) || (opens && (spec.namespace ?? 'default') === namespace);
  if (machineImages.list().some(isOfImage)) return racks(sites);
  const isOfMachine = ({ spec }: Machine) =>
    isNamed(spec.bmc?.secretRef) || isNamed(spec.provision?.userData?.secretRef);
  return [
    ...new Set(
      machines
        .list()
        .filter(isOfMachine)
        .map(({ spec }) => spec.siteName),
    ),
  ];
}
