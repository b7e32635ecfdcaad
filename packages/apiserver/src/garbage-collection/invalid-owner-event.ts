import { createHash } from 'node:crypto';
import { events, isAlreadyExists, type KubeObject, type OwnerReference } from '@selvedge/api';
import type { UserInfo } from '../authentication/user-info.ts';
import { defaultNamespace } from '../admission/namespace-object.ts';
import { createObject, nowText } from '../registry/create.ts';
import type { Registry } from '../registry/registry.ts';

/**
 * Tells people, by a Warning event, that an owner reference points to where its owner cannot be; once for each
 * reference. As Kubernetes (KEP-2336).
 */
export async function reportInvalidOwner(
  registry: Registry,
  user: UserInfo,
  { dependent, reference }: { dependent: KubeObject; reference: OwnerReference },
): Promise<void> {
  const resource = registry.catalog.find(events);
  if (!resource) return;
  const { name, namespace, uid, resourceVersion } = dependent.metadata;
  const now = nowText(registry);
  const mark = createHash('sha256').update(`${uid} ${reference.uid}`).digest('hex').slice(0, 16);
  const place = `[${reference.apiVersion}/${reference.kind}, namespace: ${namespace ?? ''}, name: ${reference.name}, uid: ${reference.uid}]`;
  const event: KubeObject = {
    apiVersion: 'v1',
    kind: 'Event',
    metadata: { name: `${name.slice(0, 230)}.${mark}`, namespace: namespace ?? defaultNamespace },
    involvedObject: {
      apiVersion: dependent.apiVersion,
      kind: dependent.kind,
      name,
      ...(namespace === undefined ? {} : { namespace }),
      uid,
      resourceVersion,
    },
    type: 'Warning',
    reason: 'OwnerRefInvalidNamespace',
    message: `ownerRef ${place} does not exist in namespace "${namespace ?? ''}"`,
    count: 1,
    firstTimestamp: now,
    lastTimestamp: now,
    source: { component: 'garbage-collector-controller' },
    reportingComponent: 'garbage-collector-controller',
  };
  try {
    await createObject(registry, resource, {
      namespace: event.metadata.namespace,
      body: event,
      options: {
        user,
        dryRun: false,
        fieldManager: 'garbage-collector',
        fieldValidation: 'Ignore',
        warn: () => {},
      },
    });
  } catch (error) {
    if (!isAlreadyExists(error)) throw error;
  }
}
