import {
  type Machine,
  machineNote,
  machines,
  machineSpecSchema,
  machineStatusSchema,
  shownPhase,
  type Site,
} from '@selvedge/api';
import type { ConnectSubresource, ResourceDefinition } from '@selvedge/apiserver';
import { withContact } from '../machines/machine-conditions.ts';
import { admitMachine } from './machine-admission.ts';
import { validateMachine } from './validate-machine.ts';

export interface MachineOptions {
  /** `machines/NAME/console`; absent: not served. */
  readonly machineConsole?: ConnectSubresource;
  /** When the rack of a site last showed that what stands on its Machines still holds; absent: that is not known. */
  readonly machinesHeldAt?: (site: string) => string | undefined;
  /** A Site, as last heard; absent: whether it is silent is not shown. */
  readonly findSite?: (site: string) => Site | undefined;
}

export function machineDefinition({
  machineConsole,
  machinesHeldAt,
  findSite,
}: MachineOptions): ResourceDefinition {
  return {
    ref: machines,
    singular: 'machine',
    shortNames: ['mach'],
    categories: ['selvedge'],
    description: 'A server at a site, from the box that was plugged in to what is installed on it.',
    statusSubresource: true,
    schema: {
      type: 'object',
      required: ['spec'],
      properties: { spec: machineSpecSchema, status: machineStatusSchema },
    },
    selectableFields: {
      'spec.siteName': (object) => (object as Machine).spec.siteName,
      'status.phase': (object) => (object as Machine).status?.phase ?? '',
    },
    validate: (object, previous) => validateMachine(object as Machine, previous as Machine | undefined),
    admit: async (object, previous, context) =>
      admitMachine(object as Machine, previous as Machine | undefined, context),
    ...(machinesHeldAt === undefined
      ? {}
      : {
          decorate: async (objects) =>
            objects.map((o) => {
              const machine = withAge(o as Machine, machinesHeldAt);
              return findSite === undefined ? machine : withContact(machine, findSite(machine.spec.siteName));
            }),
        }),
    connect: machineConsole ? { console: machineConsole } : {},
    columns: [
      {
        name: 'Site',
        type: 'string',
        description: 'Where it stands.',
        value: (o) => (o as Machine).spec.siteName,
      },
      {
        name: 'Phase',
        type: 'string',
        description: 'Where it is in its life; Discovered: it waits to be accepted.',
        value: (o) => shownPhase((o as Machine).spec.accepted, (o as Machine).status?.phase),
      },
      {
        name: 'Status',
        type: 'string',
        description: 'OK, Working or Waiting (and at what), or the reason of an error.',
        value: (o) => statusShown(o as Machine),
      },
      {
        name: 'Power',
        type: 'string',
        description: 'On, Off or Unknown, as last read.',
        value: (o) => (o as Machine).status?.power?.state,
      },
      {
        name: 'Image',
        type: 'string',
        description: 'Image on its disk; in brackets one that is to come.',
        value: (o) => imageShown(o as Machine),
      },
      {
        name: 'Consumer',
        type: 'string',
        description: 'Who has it.',
        value: (o) => {
          const consumer = (o as Machine).spec.consumer;
          return consumer && `${consumer.kind}/${consumer.name}`;
        },
      },
      {
        name: 'Synced',
        type: 'string',
        description: 'Whether the rack acts on what stands here; else why not.',
        value: (o) => {
          const conditions = (o as Machine).status?.conditions ?? [];
          const synced =
            conditions.find((c) => c.type === 'SiteConnected') ?? conditions.find((c) => c.type === 'Synced');
          return synced && (synced.status === 'True' ? 'True' : synced.reason);
        },
      },
      {
        name: 'Address',
        type: 'string',
        description: 'Address that it had last.',
        priority: 1,
        value: (o) => (o as Machine).status?.seen?.address,
      },
      {
        name: 'Product',
        type: 'string',
        description: 'What it says that it is.',
        priority: 1,
        value: (o) => {
          const { manufacturer, product } = (o as Machine).status?.seen ?? {};
          return [manufacturer, product].filter((part) => part !== undefined).join(' ') || undefined;
        },
      },
      {
        name: 'Cores',
        type: 'integer',
        description: 'CPU threads.',
        priority: 1,
        value: (o) => (o as Machine).status?.inventory?.resources.cpu.total,
      },
      {
        name: 'Memory',
        type: 'string',
        description: 'Memory.',
        priority: 1,
        value: (o) => sizeShown((o as Machine).status?.inventory?.resources.memory.total),
      },
      {
        name: 'Disks',
        type: 'string',
        description: 'Disks that stay in it, together.',
        priority: 1,
        value: (o) => sizeShown(disksTotal(o as Machine)),
      },
      {
        name: 'Since',
        type: 'date',
        description: 'Time that it has been in its phase.',
        priority: 1,
        value: (o) => (o as Machine).status?.phaseSince,
      },
      {
        name: 'Observed',
        type: 'date',
        description: 'Time since the rack last spoke of it.',
        priority: 1,
        value: (o) => (o as Machine).status?.observedTime,
      },
      {
        name: 'Note',
        type: 'string',
        description: 'What goes on, what is waited for, or what is wrong.',
        priority: 1,
        value: (o) => machineNote(o as Machine),
      },
    ],
  };
}

/** A rack tells what changes; what it does not tell anew still holds. */
function withAge(machine: Machine, heldAt: (site: string) => string | undefined): Machine {
  const observedTime = heldAt(machine.spec.siteName);
  const { status } = machine;
  const isOfRack = status?.observedGeneration !== undefined && status.observedTime !== undefined;
  if (!isOfRack || observedTime === undefined || observedTime <= (status.observedTime ?? '')) return machine;
  return { ...machine, status: { ...status, observedTime } };
}

function statusShown({ status }: Machine): string | undefined {
  const { operationalStatus, error, waiting } = status ?? {};
  if (operationalStatus === 'Error') return error?.reason ?? 'Error';
  return waiting?.step === undefined || operationalStatus === 'OK' ? operationalStatus : waiting.step;
}

function imageShown({ spec, status }: Machine): string | undefined {
  const present = status?.provisioned?.image;
  const wanted = spec.provision?.image;
  if (wanted === undefined || wanted === present) return present;
  return present === undefined ? `(${wanted})` : `${present} (${wanted})`;
}

function disksTotal({ status }: Machine): number | undefined {
  const disks = status?.inventory?.resources.storage.disks.filter(({ removable }) => !removable);
  return disks?.reduce((total, { size }) => total + size, 0);
}

function sizeShown(bytes: number | undefined): string | undefined {
  if (bytes === undefined) return undefined;
  if (bytes < 2 ** 30) return `${Math.round(bytes / 2 ** 20)}Mi`;
  return bytes < 2 ** 43 ? `${Math.round(bytes / 2 ** 30)}Gi` : `${Math.round(bytes / 2 ** 40)}Ti`;
}
