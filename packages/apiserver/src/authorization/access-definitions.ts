import type { ObjectStore } from '@selvedge/store';
import type { ResourceDefinition, ReviewDefinition } from '../resource-definition.ts';
import { rbacDefinitions } from './rbac-definitions.ts';
import { reviewDefinitions } from './review-definitions.ts';

/** The kinds by which the server authorises, and those that ask it what it would decide. With them it does RBAC. */
export function accessDefinitions(store: ObjectStore): (ResourceDefinition | ReviewDefinition)[] {
  return [...rbacDefinitions(store), ...reviewDefinitions];
}
