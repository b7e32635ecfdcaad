import { isConflict, isNotFound, type Machine, machines, type Site } from '@selvedge/api';
import {
  type KeySource,
  keysFromInformer,
  nameOfKey,
  type ReconcileResult,
  runController,
} from '@selvedge/kube';
import { isUntouchedDiscovery, successorOf } from '../../machines/discovered.ts';
import { machineConditions, ordersTooLarge } from '../../machines/machine-conditions.ts';
import type { MachineFacts } from '../../machines/machine-facts.ts';
import type { ControllerContext } from '../controller-context.ts';

/** Keeps conditions of Machines in step with what is wanted and with their Sites, and takes discovered ones away that a person has made under another name. */
export function runMachineController(ctx: ControllerContext): Promise<void> {
  const { informers, clock, logger, signal } = ctx;
  return runController({
    name: 'machine',
    sources: [keysFromInformer(informers.machines), keysFromSites(ctx), keysFromTwins(ctx)],
    concurrency: 4,
    reconcile: (key) => reconcile(ctx, nameOfKey(key).name),
    clock,
    logger,
    signal,
  });
}

async function reconcile(ctx: ControllerContext, name: string): Promise<ReconcileResult> {
  const { client, clock, informers } = ctx;
  const machine = await client.find<Machine>(machines, { name });
  if (machine === undefined || machine.metadata.deletionTimestamp !== undefined) return 'done';
  if (await deleteSuperseded(ctx, machine)) return 'done';
  const site = informers.sites.find({ name: machine.spec.siteName });
  const conditions = machineConditions(machine, site, clock.now().toISOString());
  if (conditions === machine.status?.conditions) return 'done';
  await client.updateStatus<Machine>(machines, { ...machine, status: { ...machine.status, conditions } });
  return 'done';
}

/** A person described the box under another name: the record of its discovery is in the way. Resolves to whether it went. */
async function deleteSuperseded(
  { client, informers, recorder, logger }: ControllerContext,
  machine: Machine,
): Promise<boolean> {
  const successor = successorOf(machine, informers.machines.list());
  if (successor === undefined) return false;
  const { name, uid, resourceVersion } = machine.metadata;
  try {
    const preconditions = {
      ...(uid === undefined ? {} : { uid }),
      ...(resourceVersion === undefined ? {} : { resourceVersion }),
    };
    await client.delete(machines, { name }, { preconditions });
  } catch (error) {
    if (isNotFound(error)) return true;
    // Somebody has just written to it: it is looked at again.
    if (isConflict(error)) return false;
    throw error;
  }
  logger.info('a discovered machine was taken over', { machine: name, by: successor.name });
  const present = informers.machines.find({ name: successor.name });
  if (present !== undefined) {
    const message = `It is the discovered box ${name}, by its ${successor.shared}: that Machine was removed.`;
    recorder.record(present, { type: 'Normal', reason: 'DiscoveryTakenOver', message });
  }
  return true;
}

/** Machines of Sites that were first heard of, or whose rack came or went. */
function keysFromSites({ informers }: ControllerContext): KeySource {
  return {
    synced: informers.sites.synced,
    subscribe: (enqueue) => {
      const tell = ({ metadata }: Site) => {
        for (const { metadata: machine, spec } of informers.machines.list()) {
          if (spec.siteName === metadata.name) enqueue(machine.name);
        }
      };
      return informers.sites.onChange({
        add: tell,
        delete: tell,
        update: (site, previous) => {
          if (roleOf(site) !== roleOf(previous)) tell(site);
        },
      });
    },
  };
}

/** What of a Site its Machines' conditions follow from. */
function roleOf({ spec, status }: Site): string {
  const connected = status?.conditions?.find((condition) => condition.type === 'Connected');
  const isNew = connected?.reason === 'NeverConnected';
  const isTooLarge = status?.conditions?.some(({ reason }) => reason === ordersTooLarge) === true;
  return JSON.stringify([isNew, isTooLarge, spec?.rack === undefined, status?.rack === undefined]);
}

/** Discovered Machines, when one comes that may be the same box. */
function keysFromTwins({ informers }: ControllerContext): KeySource {
  return {
    synced: informers.machines.synced,
    subscribe: (enqueue) => {
      const tell = (machine: MachineFacts) => {
        if (!informers.machines.isSynced || isUntouchedDiscovery(machine)) return;
        for (const other of informers.machines.list()) {
          if (other.spec.siteName !== machine.spec.siteName) continue;
          if (isUntouchedDiscovery(other)) enqueue(other.metadata.name);
        }
      };
      return informers.machines.onChange({
        add: tell,
        update: (machine, previous) => {
          if (machine.metadata.generation !== previous.metadata.generation) tell(machine);
        },
      });
    },
  };
}
