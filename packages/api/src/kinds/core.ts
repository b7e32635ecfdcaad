import type { KubeObject, ObjectMeta, ResourceRef } from '../object-meta.ts';

const core = (plural: string, kind: string, namespaced: boolean): ResourceRef => ({
  group: '',
  version: 'v1',
  plural,
  kind,
  namespaced,
});
export const namespaces: ResourceRef = core('namespaces', 'Namespace', false);
export const secrets: ResourceRef = core('secrets', 'Secret', true);
export const configMaps: ResourceRef = core('configmaps', 'ConfigMap', true);
export const events: ResourceRef = core('events', 'Event', true);
export const resourceQuotas: ResourceRef = core('resourcequotas', 'ResourceQuota', true);
export const serviceAccounts: ResourceRef = core('serviceaccounts', 'ServiceAccount', true);

export interface Namespace extends KubeObject {
  apiVersion: 'v1';
  kind: 'Namespace';
  metadata: ObjectMeta;
  spec?: { finalizers?: string[] };
  status?: { phase?: 'Active' | 'Terminating' };
}

export interface ConfigMap extends KubeObject {
  apiVersion: 'v1';
  kind: 'ConfigMap';
  metadata: ObjectMeta;
  data?: Record<string, string>;
  /** Base64. */
  binaryData?: Record<string, string>;
  immutable?: boolean;
}

export interface Secret extends KubeObject {
  apiVersion: 'v1';
  kind: 'Secret';
  metadata: ObjectMeta;
  type?: string;
  /** Base64. */
  data?: Record<string, string>;
  /** Write only; merged into `data` by the server. */
  stringData?: Record<string, string>;
  immutable?: boolean;
}

export interface ServiceAccount extends KubeObject {
  apiVersion: 'v1';
  kind: 'ServiceAccount';
  metadata: ObjectMeta;
  secrets?: { name?: string; [field: string]: unknown }[];
  imagePullSecrets?: { name?: string }[];
  automountServiceAccountToken?: boolean;
}

/** core/v1 Event. */
export interface Event extends KubeObject {
  apiVersion: 'v1';
  kind: 'Event';
  metadata: ObjectMeta;
  involvedObject: {
    apiVersion?: string;
    kind?: string;
    namespace?: string;
    name?: string;
    uid?: string;
    resourceVersion?: string;
    fieldPath?: string;
  };
  type?: 'Normal' | 'Warning';
  reason?: string;
  message?: string;
  count?: number;
  firstTimestamp?: string;
  lastTimestamp?: string;
  eventTime?: string;
  action?: string;
  source?: { component?: string; host?: string };
  reportingComponent?: string;
  reportingInstance?: string;
}

export interface ResourceQuota extends KubeObject {
  apiVersion: 'v1';
  kind: 'ResourceQuota';
  metadata: ObjectMeta;
  spec?: { hard?: Record<string, string> };
  /** What of `hard` is in force, and what of it is used. */
  status?: { hard?: Record<string, string>; used?: Record<string, string> };
}
