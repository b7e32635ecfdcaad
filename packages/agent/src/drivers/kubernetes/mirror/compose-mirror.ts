import { canonicalJson, type KubeObject } from '@selvedge/api';
import { isAutoscaled } from '../drift/autoscaled.ts';
import { fieldOf, isObject } from '../drift/json-pointer.ts';
import { without } from './strip/without-defaults.ts';
import { withoutReplicas } from './strip/strip-object.ts';

export interface MirrorContent {
  readonly objects: number;
  readonly bytes: Uint8Array;
}

/**
 * What a mirror gives, from stripped manifests: without claims that a StatefulSet among them makes, without numbers that an autoscaler among them
 * sets, sorted. The same manifests in any order give the same bytes. Pure.
 * @param defaultStorageClasses names of the classes that claims without one get in that cluster.
 */
export function composeMirror(
  manifests: readonly KubeObject[],
  defaultStorageClasses: ReadonlySet<string>,
): MirrorContent {
  const autoscalers = manifests.filter(({ spec }) => fieldOf(spec, 'scaleTargetRef') !== undefined);
  const composed = withoutMadeClaims(manifests)
    .map((manifest) => (isScaled(manifest, autoscalers) ? withoutReplicas(manifest) : manifest))
    .map((manifest) => withoutDefaultClass(manifest, defaultStorageClasses))
    .map((manifest) => ({ manifest, key: sortKey(manifest) }))
    .sort((a, b) => (a.key < b.key ? -1 : a.key > b.key ? 1 : 0))
    .map(({ manifest }) => manifest);
  return { objects: composed.length, bytes: new TextEncoder().encode(canonicalJson(composed)) };
}

function sortKey({ apiVersion, kind, metadata }: KubeObject): string {
  return [kind, metadata.namespace ?? '', metadata.name, apiVersion].join('\0');
}

function isScaled({ apiVersion, kind, metadata }: KubeObject, autoscalers: readonly KubeObject[]): boolean {
  const { name, namespace } = metadata;
  return isAutoscaled(
    { apiVersion, kind, name, ...(namespace === undefined ? {} : { namespace }) },
    autoscalers,
  );
}

function withoutDefaultClass(manifest: KubeObject, classes: ReadonlySet<string>): KubeObject {
  const { kind, spec } = manifest;
  if (kind !== 'PersistentVolumeClaim' || !isObject(spec)) return manifest;
  if (!classes.has(String(spec['storageClassName']))) return manifest;
  return { ...manifest, spec: without(spec, ['storageClassName']) };
}

function withoutMadeClaims(manifests: readonly KubeObject[]): KubeObject[] {
  const made = manifests.flatMap(madeClaims);
  if (made.length === 0) return [...manifests];
  return manifests.filter(
    ({ kind, metadata }) =>
      kind !== 'PersistentVolumeClaim' ||
      !made.some(({ namespace, name }) => namespace === metadata.namespace && name.test(metadata.name)),
  );
}

/** `<template>-<StatefulSet>-<ordinal>`. */
function madeClaims({ kind, metadata, spec }: KubeObject): { namespace: string | undefined; name: RegExp }[] {
  const templates = fieldOf(spec, 'volumeClaimTemplates');
  if (kind !== 'StatefulSet' || !Array.isArray(templates)) return [];
  return templates.filter(isObject).map((template) => {
    const prefix = `${String(fieldOf(template['metadata'], 'name'))}-${metadata.name}-`;
    return { namespace: metadata.namespace, name: new RegExp(`^${escapeRegExp(prefix)}\\d+$`) };
  });
}

function escapeRegExp(text: string): string {
  return text.replaceAll(/[.*+?^${}()|[\]\\]/g, String.raw`\$&`);
}
