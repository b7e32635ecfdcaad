import { isStatusError } from '@selvedge/api';
import { isWebhookAway } from '../apply/apply-problem.ts';
import { ApiUnreachable } from './kube-connection.ts';

/**
 * Whether the API server itself is not there, or has lost its store. A webhook, or a server behind it that serves one group of kinds
 * (APIService), may be away while all the rest works. `apiVersion` of what was asked for.
 */
export function isApiAway(error: unknown, apiVersion: string): boolean {
  if (error instanceof ApiUnreachable) return true;
  if (!isStatusError(error, 'ServiceUnavailable') && !isStatusError(error, 'Timeout')) return false;
  return !isWebhookAway(error) && !mayBeAggregated(apiVersion);
}

/** Groups of Kubernetes itself have no dot or end in `k8s.io`; those of metrics are served by others all the same. */
function mayBeAggregated(apiVersion: string): boolean {
  const group = apiVersion.includes('/') ? (apiVersion.split('/')[0] ?? '') : '';
  return group.includes('.') && (!group.endsWith('.k8s.io') || /(^|\.)metrics\.k8s\.io$/.test(group));
}
