import {
  isAlreadyExists,
  isNotFound,
  isStatusError,
  type Namespace,
  namespaces,
  serviceAccounts,
} from '@selvedge/api';
import { keysFromInformer, type ReconcileResult, runController } from '@selvedge/kube';
import type { ControllerContext } from '../controller-context.ts';

const name = 'default';

/** Gives every namespace its ServiceAccount `default`, also again when it was deleted; as Kubernetes does. */
export function runDefaultServiceAccountController(ctx: ControllerContext): Promise<void> {
  const { informers, clock, logger, signal } = ctx;
  return runController({
    name: 'default-service-account',
    sources: [
      keysFromInformer(informers.namespaces),
      keysFromInformer(informers.serviceAccounts, ({ metadata }) =>
        metadata.name === name && metadata.namespace ? [metadata.namespace] : [],
      ),
    ],
    reconcile: (namespace) => reconcile(ctx, namespace),
    clock,
    logger,
    signal,
  });
}

async function reconcile({ client }: ControllerContext, namespace: string): Promise<ReconcileResult> {
  const found = await client.find<Namespace>(namespaces, { name: namespace });
  if (!found || found.metadata.deletionTimestamp !== undefined) return 'done';
  if (await client.find(serviceAccounts, { namespace, name })) return 'done';
  try {
    await client.create(serviceAccounts, {
      apiVersion: 'v1',
      kind: 'ServiceAccount',
      metadata: { name, namespace },
    });
  } catch (error) {
    // Another hub was faster, or the namespace has begun to go: its next event brings the key back.
    const isSettled = isAlreadyExists(error) || isNotFound(error) || isStatusError(error, 'Forbidden');
    if (!isSettled) throw error;
  }
  return 'done';
}
