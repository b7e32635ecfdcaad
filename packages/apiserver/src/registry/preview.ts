import type { KubeObject, ObjectName } from '@selvedge/api';
import type { PreviewAction, PreviewedChange } from '../resource-definition.ts';
import { createObject } from './create.ts';
import { findObject } from './get.ts';
import type { Registry, WriteOptions } from './registry.ts';
import type { Resource } from './resource-catalog.ts';
import { changeObject } from './update.ts';

export interface PreviewRequest {
  readonly target: ObjectName;
  readonly body: KubeObject;
  readonly options: WriteOptions;
  readonly over: PreviewAction['over'];
}

/**
 * What an object would be if `body` were written now: created, or put in the place of what is there. Refused as that
 * write would be. Nothing is stored. Of the metadata only labels and annotations of the body count: a plan is not bound to
 * the state that somebody read.
 */
export async function previewObject(
  registry: Registry,
  resource: Resource,
  { target, body, options, over }: PreviewRequest,
): Promise<PreviewedChange> {
  const dry = { ...options, dryRun: true };
  const { labels, annotations } = body.metadata;
  const said = { ...(labels ? { labels } : {}), ...(annotations ? { annotations } : {}) };
  const previous = await findObject(registry, resource, target);
  if (!previous) {
    const fresh = { ...body, metadata: { ...target, ...said } };
    const request = { namespace: target.namespace, body: fresh, options: dry };
    return { object: await createObject(registry, resource, request), previous };
  }
  const change = (current: KubeObject): KubeObject => {
    const { labels: _labels, annotations: _annotations, ...kept } = current.metadata;
    const sent = structuredClone({ ...body, metadata: { ...kept, ...said } });
    return over ? over(sent, current) : sent;
  };
  const request = { target, part: 'main' as const, options: dry, retry: true, change };
  return { object: await changeObject(registry, resource, request), previous };
}
