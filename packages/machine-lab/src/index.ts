/**
 * Boxes that are not there: virtual machines under QEMU with an emulated baseboard controller each, and the networks that they boot on. For
 * `selvedge dev machines` and for tests; no hub and no agent depends on it.
 *
 * What the rack of a site sees of them is true: DHCP and HTTP on a wire, Redfish and IPMI on a socket, firmware that boots.
 */
export type { EmulatedBoot, EmulatedMachine } from './emulated-machine.ts';
export type { MachineIdentity } from '@selvedge/api';
export { BridgeNetwork, type BridgeNetworkOptions } from './network/bridge-network.ts';
export type { MachineNetwork, NetworkCable } from './network/machine-network.ts';
export { NamespaceNetwork, type NamespaceNetworkOptions } from './network/namespace-network.ts';
export { UserNetwork, userNetworkHost } from './network/user-network.ts';
export { VirtualMachine, type VirtualMachineOptions } from './qemu/virtual-machine.ts';
export { ModelMachine } from './model-machine.ts';
export type { BootOverride } from './redfish/emulated-system.ts';
export {
  type EmulatedCall,
  type EmulatedFault,
  type RedfishEmulator,
  type RedfishEmulatorOptions,
  startRedfishEmulator,
} from './redfish/redfish-emulator.ts';
