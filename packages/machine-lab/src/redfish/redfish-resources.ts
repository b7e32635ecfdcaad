import type { BmcQuirkName } from '@selvedge/api';
import type { EmulatedMedia } from './emulated-media.ts';
import type { BootOverride, EmulatedSystem } from './emulated-system.ts';

export const managerId = 'BMC';
const root = '/redfish/v1';
const manager = `${root}/Managers/${managerId}`;

export interface ResourceView {
  readonly systems: readonly EmulatedSystem[];
  readonly media: EmulatedMedia;
  readonly firmware: string;
  readonly has: (quirk: BmcQuirkName) => boolean;
  readonly sessionIds: readonly string[];
}

/** What GET of a path shows; undefined: nothing is there. `segments` come after `/redfish/v1/`. */
export function readResource(view: ResourceView, segments: readonly string[]): object | undefined {
  const path = [root, ...segments].join('/');
  const [first, second, third, fourth] = segments;
  switch (first) {
    case undefined:
      return serviceRoot(view);
    case 'Systems':
      return second === undefined
        ? collection(
            path,
            view.systems.map(({ id }) => id),
          )
        : readSystem(view, { path, id: second, rest: segments.slice(2) });
    case 'Managers':
      if (second === undefined) return collection(path, [managerId]);
      if (second !== managerId) return undefined;
      if (third === undefined) return managerResource(view);
      if (third !== 'VirtualMedia') return undefined;
      return fourth === undefined ? collection(path, view.media.slotIds) : mediaResource(view, fourth);
    case 'Chassis':
      if (second === undefined) return collection(path, ['1']);
      return second === '1' && third === undefined ? chassis(view) : undefined;
    case 'SessionService':
      if (view.has('NoSessions')) return undefined;
      if (second === undefined) return sessionService();
      if (second !== 'Sessions') return undefined;
      if (third === undefined) return collection(path, view.sessionIds);
      return view.sessionIds.includes(third) ? resource(path, 'Session.v1_5_0.Session', third) : undefined;
    default:
      return undefined;
  }
}

function readSystem(
  view: ResourceView,
  { path, id, rest }: { path: string; id: string; rest: readonly string[] },
): object | undefined {
  const system = view.systems.find((candidate) => candidate.id === id);
  if (!system || system.isMissing) return undefined;
  const [part, member, ...deeper] = rest;
  if (part === undefined) return systemResource(view, system);
  if (deeper.length > 0) return undefined;
  if (part === 'SD' && member === undefined && view.has('SettingsResource')) return settingsResource(system);
  if (part !== 'EthernetInterfaces') return undefined;
  const ports = system.machine.identity.macAddresses;
  if (member === undefined)
    return collection(
      path,
      ports.map((_, index) => String(index + 1)),
    );
  const macAddress = ports[Number(member) - 1];
  if (macAddress === undefined) return undefined;
  return {
    ...resource(path, 'EthernetInterface.v1_8_0.EthernetInterface', member),
    MACAddress: macAddress,
    PermanentMACAddress: macAddress,
    InterfaceEnabled: true,
  };
}

/** Of the system, or of its settings; as the quirks of the BMC give it. */
export function etagOf(view: ResourceView, system: EmulatedSystem): string {
  return view.has('WeakEtagRefused') ? `W/"${system.version}"` : `"${system.version}"`;
}

function serviceRoot(view: ResourceView): object {
  const sessions = view.has('NoSessions')
    ? {}
    : {
        SessionService: ref(`${root}/SessionService`),
        Links: { Sessions: ref(`${root}/SessionService/Sessions`) },
      };
  return {
    ...resource(`${root}/`, 'ServiceRoot.v1_11_0.ServiceRoot', 'RootService'),
    RedfishVersion: '1.13.0',
    UUID: view.systems[0]?.machine.identity.uuid,
    Vendor: view.systems[0]?.machine.identity.manufacturer,
    Systems: ref(`${root}/Systems`),
    Managers: ref(`${root}/Managers`),
    Chassis: ref(`${root}/Chassis`),
    ...sessions,
  };
}

function systemResource(view: ResourceView, system: EmulatedSystem): object {
  const path = `${root}/Systems/${system.id}`;
  const { identity } = system.machine;
  const settings = view.has('SettingsResource')
    ? {
        '@Redfish.Settings': {
          '@odata.type': '#Settings.v1_3_0.Settings',
          SettingsObject: ref(`${path}/SD`),
        },
      }
    : {};
  return {
    ...resource(path, 'ComputerSystem.v1_16_0.ComputerSystem', system.id),
    ...settings,
    '@odata.etag': etagOf(view, system),
    SystemType: 'Physical',
    Manufacturer: identity.manufacturer,
    Model: identity.model,
    SerialNumber: identity.serial,
    UUID: identity.uuid,
    PowerState: system.powerState,
    Status: { State: system.machine.isOn() ? 'Enabled' : 'Disabled', Health: 'OK' },
    Boot: bootResource(view, system),
    ProcessorSummary: { Count: 1 },
    MemorySummary: { TotalSystemMemoryGiB: 1 },
    EthernetInterfaces: ref(`${path}/EthernetInterfaces`),
    Bios: ref(`${path}/Bios`),
    Links: { ManagedBy: [ref(manager)], Chassis: [ref(`${root}/Chassis/1`)] },
    Actions: {
      '#ComputerSystem.Reset': {
        target: `${path}/Actions/ComputerSystem.Reset`,
        'ResetType@Redfish.AllowableValues': system.resetTypes,
      },
    },
  };
}

function bootResource(view: ResourceView, system: EmulatedSystem): object {
  const mode = view.has('NoBootMode')
    ? {}
    : { 'BootSourceOverrideMode@Redfish.AllowableValues': ['Legacy', 'UEFI'] };
  return {
    ...overrideProperties(system.override, view.has('NoBootMode')),
    ...mode,
    'BootSourceOverrideTarget@Redfish.AllowableValues': system.bootTargets,
    'BootSourceOverrideEnabled@Redfish.AllowableValues': ['Disabled', 'Once', 'Continuous'],
  };
}

function overrideProperties(override: BootOverride, withoutMode: boolean): object {
  return {
    BootSourceOverrideEnabled: override.enabled,
    BootSourceOverrideTarget: override.target,
    ...(withoutMode ? {} : { BootSourceOverrideMode: override.mode }),
    HttpBootUri: override.httpBootUri,
  };
}

function settingsResource(system: EmulatedSystem): object {
  const path = `${root}/Systems/${system.id}/SD`;
  return {
    ...resource(path, 'ComputerSystem.v1_16_0.ComputerSystem', 'SD'),
    '@odata.etag': `"${system.version}"`,
    Boot: overrideProperties({ ...system.override, ...system.pending }, false),
  };
}

function managerResource(view: ResourceView): object {
  const oem = view.has('OemMediaBoot')
    ? {
        Actions: {
          Oem: {
            '#OemManager.ImportSystemConfiguration': {
              target: `${manager}/Actions/Oem/EID_674_Manager.ImportSystemConfiguration`,
            },
          },
        },
      }
    : {};
  return {
    ...resource(manager, 'Manager.v1_13_0.Manager', managerId),
    ManagerType: 'BMC',
    FirmwareVersion: view.firmware,
    VirtualMedia: ref(`${manager}/VirtualMedia`),
    Links: { ManagerForServers: view.systems.map(({ id }) => ref(`${root}/Systems/${id}`)) },
    ...oem,
  };
}

function mediaResource(view: ResourceView, id: string): object | undefined {
  const slot = view.media.read(id);
  if (!slot) return undefined;
  const path = `${manager}/VirtualMedia/${id}`;
  const actions = slot.hasActions
    ? {
        Actions: {
          '#VirtualMedia.InsertMedia': { target: `${path}/Actions/VirtualMedia.InsertMedia` },
          '#VirtualMedia.EjectMedia': { target: `${path}/Actions/VirtualMedia.EjectMedia` },
        },
      }
    : {};
  return {
    ...resource(path, 'VirtualMedia.v1_5_0.VirtualMedia', id),
    MediaTypes: slot.mediaTypes,
    Image: slot.image,
    Inserted: slot.image !== null,
    ...actions,
  };
}

function chassis(view: ResourceView): object {
  return {
    ...resource(`${root}/Chassis/1`, 'Chassis.v1_20_0.Chassis', '1'),
    ChassisType: 'RackMount',
    Links: {
      ComputerSystems: view.systems.map(({ id }) => ref(`${root}/Systems/${id}`)),
      ManagedBy: [ref(manager)],
    },
  };
}

function sessionService(): object {
  return {
    ...resource(`${root}/SessionService`, 'SessionService.v1_1_8.SessionService', 'SessionService'),
    ServiceEnabled: true,
    Sessions: ref(`${root}/SessionService/Sessions`),
  };
}

function collection(path: string, ids: readonly string[]): object {
  return {
    ...resource(path, 'Collection', path.split('/').at(-1) ?? ''),
    'Members@odata.count': ids.length,
    Members: ids.map((id) => ref(`${path}/${id}`)),
  };
}

function resource(path: string, type: string, id: string): object {
  return { '@odata.id': path, '@odata.type': `#${type}`, Id: id, Name: id };
}

function ref(path: string): { '@odata.id': string } {
  return { '@odata.id': path };
}
