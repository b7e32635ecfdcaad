import { IpmiDriver } from './ipmi/ipmi-driver.ts';
import { ManualDriver } from './manual-driver.ts';
import type { PowerDriver, PowerOptions } from './power-driver.ts';
import type { PowerQueues } from './power-queues.ts';
import { RedfishDriver } from './redfish/redfish-driver.ts';
import { WakeOnLanDriver } from './wake-on-lan-driver.ts';
import { withoutLogin } from './without-login.ts';
import { WebhookDriver } from './webhook-driver.ts';

/**
 * What switches this machine. Nothing is called yet.
 *
 * @param queues of the rack: all drivers share them, so that calls of one BMC never overlap.
 * Throws PowerError Invalid when the order names nothing that can be called.
 */
export function openPower(options: PowerOptions, queues: PowerQueues): PowerDriver {
  return withoutLogin(openDriver(options, queues), options.login);
}

function openDriver(options: PowerOptions, queues: PowerQueues): PowerDriver {
  switch (options.bmc.type) {
    case 'Redfish':
      return new RedfishDriver(options, queues);
    case 'IPMI':
      return new IpmiDriver(options, queues);
    case 'WakeOnLAN':
      return new WakeOnLanDriver(options);
    case 'Webhook':
      return new WebhookDriver(options, queues);
    case 'Manual':
      return new ManualDriver();
  }
}
