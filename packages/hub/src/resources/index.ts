import { applications, type ObjectClient, resourceName, secrets } from '@selvedge/api';
import {
  accessDefinitions,
  type ConnectSubresource,
  type ResourceDefinition,
  resourceQuotaDefinition,
  type ReviewDefinition,
  type VirtualResourceDefinition,
} from '@selvedge/apiserver';
import { planAction } from '../planning/application-planner.ts';
import { renderAction } from '../planning/render-application.ts';
import type { ImageResolver } from '../images/image-resolver.ts';
import type { ImageSizes } from '../registry/image-sizes.ts';
import { applicationDefinition } from './application-definition.ts';
import { coreDefinitions } from './core-definitions.ts';
import { deliveryDefinition } from './delivery-definition.ts';
import { enrollmentTokenDefinition, type IssueToken } from './enrollment-token-definition.ts';
import { groupEventDefinition } from './event-definition.ts';
import { FleetView, type FleetViewOptions } from './fleet-view.ts';
import { machineClaimDefinition } from './machine-claim-definition.ts';
import { machineDefinition, type MachineOptions } from './machine-definition.ts';
import { machineImageDefinition } from './machine-image-definition.ts';
import { machineScriptDefinition } from './machine-script-definition.ts';
import { machineTagDefinition } from './machine-tag-definition.ts';
import { registryCredentialDefinition } from './registry-credential-definition.ts';
import { releaseDefinition } from './release-definition.ts';
import { rolloutDefinition } from './rollout-definition.ts';
import { serviceDefinition } from './service-definition.ts';
import { siteDefinition } from './site-definition.ts';

export interface HubResourceOptions extends FleetViewOptions, MachineOptions {
  readonly issueEnrollmentToken: IssueToken;
  /** What actions write with, as the hub itself; asked for only once the API server is there. */
  readonly client: () => ObjectClient;
  /** `sites/NAME/proxy`; absent: not served. */
  readonly siteProxy?: ConnectSubresource;
  /** `sites/NAME/export`; absent: not served. */
  readonly siteExport?: ConnectSubresource;
  /** Asks image registries for sizes; absent: they are not asked. */
  readonly imageSizes?: ImageSizes | undefined;
  /** Asks them what tags name; absent: tags stay as they are. */
  readonly imageResolver?: ImageResolver | undefined;
}

export { hubDefaultAccess } from './default-access.ts';

/** What the store has to encrypt: the definitions below that are `sensitive`. */
export const sensitiveResources: ReadonlySet<string> = new Set([
  resourceName(secrets),
  resourceName(applications),
]);

/** Every kind that a hub serves. */
export function hubResourceDefinitions(
  options: HubResourceOptions,
): (ResourceDefinition | VirtualResourceDefinition | ReviewDefinition)[] {
  const view = new FleetView(options);
  return [
    ...coreDefinitions(),
    groupEventDefinition(options.objects),
    serviceDefinition(options.objects),
    ...accessDefinitions(options.objects),
    resourceQuotaDefinition,
    siteDefinition(view, options),
    enrollmentTokenDefinition(options.issueEnrollmentToken),
    applicationDefinition(options.objects, { plan: planAction(options), render: renderAction(options) }),
    releaseDefinition(options),
    rolloutDefinition,
    registryCredentialDefinition,
    machineDefinition(options),
    machineImageDefinition,
    machineClaimDefinition,
    machineTagDefinition,
    machineScriptDefinition,
    deliveryDefinition(view),
  ];
}
