import type { ApiUnderComparison } from './api-under-comparison.ts';
import { customResourceDefinitions, installDefinitions } from './custom-resource-definition.ts';
import { startKubeApiserver } from './kube-apiserver.ts';
import { startOurApiServer } from './our-api-server.ts';
import { gizmoDefinition, sampleGroupVersion, widgetDefinition } from './sample-kinds.ts';

export interface Servers {
  readonly ours: ApiUnderComparison;
  readonly theirs: ApiUnderComparison;
  close(): Promise<void>;
}

export const startOurs = (): Promise<ApiUnderComparison> =>
  startOurApiServer([widgetDefinition, gizmoDefinition]);

/** Both servers with the same kinds: what we serve is installed there as CustomResourceDefinitions. */
export async function startBoth(): Promise<Servers> {
  await using started = new AsyncDisposableStack();
  const ours = await startOurs();
  started.defer(() => ours.close());
  const theirs = await startKubeApiserver();
  started.defer(() => theirs.close());
  for (const groupVersion of [sampleGroupVersion, 'selvedge.dev/v1alpha1']) {
    await installDefinitions(theirs, await customResourceDefinitions(ours, groupVersion));
  }
  const running = started.move();
  return { ours, theirs, close: () => running.disposeAsync() };
}
