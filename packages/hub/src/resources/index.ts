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
import type { ImageSizes } from '../registry/image-sizes.ts';
import { applicationDefinition } from './application-definition.ts';
import { coreDefinitions } from './core-definitions.ts';
import { deliveryDefinition } from './delivery-definition.ts';
import { enrollmentTokenDefinition, type IssueToken } from './enrollment-token-definition.ts';
import { groupEventDefinition } from './event-definition.ts';
import { FleetView, type FleetViewOptions } from './fleet-view.ts';
import { releaseDefinition } from './release-definition.ts';
import { rolloutDefinition } from './rollout-definition.ts';
import { serviceDefinition } from './service-definition.ts';
import { siteDefinition } from './site-definition.ts';

export interface HubResourceOptions extends FleetViewOptions {
  readonly issueEnrollmentToken: IssueToken;
  /** What actions write with, as the hub itself; asked for only once the API server is there. */
  readonly client: () => ObjectClient;
  /** `sites/NAME/proxy`; absent: not served. */
  readonly siteProxy?: ConnectSubresource;
  /** Asks image registries for sizes; absent: they are not asked. */
  readonly imageSizes?: ImageSizes | undefined;
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
    applicationDefinition(options.objects, { plan: planAction(options) }),
    releaseDefinition(options),
    rolloutDefinition,
    deliveryDefinition(view),
  ];
}
