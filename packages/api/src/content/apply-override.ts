import { isObject, type JsonObject } from '../json-value.ts';
import type { OverridePatch } from '../kinds/override-schemas.ts';
import { matchesLabelSelector } from '../label-selector.ts';
import { manifestName, validateManifest } from '../manifests.ts';
import type { KubeObject } from '../object-meta.ts';
import { applyJsonPatch } from '../patch/json-patch.ts';
import { kubernetesMergeSchema } from '../patch/kubernetes-merge-schema.ts';
import { mergePatch } from '../patch/merge-patch.ts';
import { strategicMergePatch } from '../patch/strategic-merge-patch.ts';
import type { ReleaseImageChange, ReleaseOverride } from '../rules/delivery-rules.ts';
import { changedFields } from './changed-fields.ts';
import { changeImage, mapImages, splitImage } from './image-names.ts';

/** What one entry of an override changed in a manifest: `Deployment/till`, `overrides[de].replicas[0]`, `spec.replicas`. */
export interface OverrideTrace {
  readonly manifest: string;
  readonly override: string;
  /** Places that differ since, at most 20; `(removed)` for a manifest that it took out. */
  readonly fields: readonly string[];
}

/** Manifests on their way through overrides. */
export interface Stage {
  readonly manifests: readonly KubeObject[];
  readonly trace: readonly OverrideTrace[];
  /** With the path of the override: `overrides[de].patches[0]: …`. After a fault nothing more is changed. */
  readonly faults: readonly string[];
}

/** One override on what those before it have left. Pure; manifests that it does not change are the same objects. */
export function applyOverride(stage: Stage, override: ReleaseOverride, namespace: string): Stage {
  if (stage.faults.length > 0) return stage;
  const work = new OverrideWork(stage, namespace);
  const path = `overrides[${override.name}]`;
  for (const [index, patch] of (override.patches ?? []).entries()) {
    work.patch(patch, `${path}.patches[${index}]`);
  }
  for (const [index, change] of (override.images ?? []).entries()) {
    work.changeImages(change, `${path}.images[${index}]`);
  }
  for (const [index, change] of (override.replicas ?? []).entries()) {
    work.scale(change, `${path}.replicas[${index}]`);
  }
  return work.stage;
}

/** Kinds that `replicas` speaks of, as in a kustomization. */
const scaledKinds: ReadonlySet<string> = new Set(['Deployment', 'ReplicaSet', 'StatefulSet']);

class OverrideWork {
  readonly #namespace: string;
  readonly #faults: string[] = [];
  readonly #trace: OverrideTrace[];
  #manifests: readonly KubeObject[];

  constructor({ manifests, trace }: Stage, namespace: string) {
    this.#manifests = manifests;
    this.#trace = [...trace];
    this.#namespace = namespace;
  }

  get stage(): Stage {
    return { manifests: this.#manifests, trace: this.#trace, faults: this.#faults };
  }

  patch(patch: OverridePatch, path: string): void {
    const { target } = patch;
    const found = this.#change(path, (manifest) => {
      if (!this.#isTarget(manifest, target)) return undefined;
      return { result: patched(manifest, patch) };
    });
    if (found > 0 || patch.optional === true) return;
    this.#faults.push(`${path}: matches no manifest${describeTarget(target)}`);
  }

  changeImages(change: ReleaseImageChange, path: string): void {
    let found = 0;
    this.#change(path, (manifest) => {
      const result = mapImages(manifest, (image) => {
        if (splitImage(image).name !== change.name) return image;
        found += 1;
        return changeImage(image, change);
      });
      return { result };
    });
    if (found === 0) this.#faults.push(`${path}: no container has the image ${change.name}`);
  }

  scale({ name, count }: { readonly name: string; readonly count: number }, path: string): void {
    const found = this.#change(path, (manifest) => {
      if (!scaledKinds.has(manifest.kind) || manifest.metadata.name !== name) return undefined;
      const spec = isObject(manifest['spec']) ? manifest['spec'] : {};
      return {
        result: spec['replicas'] === count ? manifest : { ...manifest, spec: { ...spec, replicas: count } },
      };
    });
    if (found === 0) {
      this.#faults.push(`${path}: there is no Deployment, StatefulSet or ReplicaSet ${name}`);
    }
  }

  /** Counts the manifests that the change is about: those for which it gives a result. A result of `undefined` takes the manifest out. */
  #change(path: string, change: (manifest: KubeObject) => { readonly result: unknown } | undefined): number {
    let found = 0;
    let isChanged = false;
    const manifests: KubeObject[] = [];
    for (const manifest of this.#manifests) {
      const { result, isTarget } = this.#changeOne(manifest, path, change);
      if (isTarget) found += 1;
      if (result !== undefined) manifests.push(result);
      isChanged ||= result !== manifest;
    }
    if (isChanged && manifests.length === 0) this.#faults.push(`${path}: leaves no manifest`);
    else if (isChanged) this.#manifests = manifests;
    return found;
  }

  #changeOne(
    manifest: KubeObject,
    path: string,
    change: (manifest: KubeObject) => { readonly result: unknown } | undefined,
  ): { readonly result: KubeObject | undefined; readonly isTarget: boolean } {
    const name = manifestName(manifest, this.#namespace);
    let changed: { readonly result: unknown } | undefined;
    try {
      changed = change(manifest);
    } catch (error) {
      this.#faults.push(`${path}: ${name}: ${error instanceof Error ? error.message : String(error)}`);
      return { result: manifest, isTarget: true };
    }
    if (changed === undefined || changed.result === manifest) {
      return { result: manifest, isTarget: changed !== undefined };
    }
    const { result } = changed;
    if (result === undefined) {
      this.#trace.push({ manifest: name, override: path, fields: ['(removed)'] });
      return { result, isTarget: true };
    }
    const fields = changedFields(manifest, result);
    if (fields.length === 0) return { result: manifest, isTarget: true };
    const fault = faultOfResult(manifest, result, this.#namespace);
    if (fault === undefined) this.#trace.push({ manifest: name, override: path, fields });
    else this.#faults.push(`${path}: ${name}: ${fault}`);
    return { result: fault === undefined ? (result as KubeObject) : manifest, isTarget: true };
  }

  #isTarget(
    manifest: KubeObject,
    { group, kind, name, namespace, labelSelector }: OverridePatch['target'],
  ): boolean {
    const { metadata } = manifest;
    return (
      (kind === undefined || manifest.kind === kind) &&
      (name === undefined || metadata.name === name) &&
      (group === undefined || groupOf(manifest.apiVersion) === group) &&
      (namespace === undefined || (metadata.namespace ?? this.#namespace) === namespace) &&
      (labelSelector === undefined || matchesLabelSelector(metadata.labels, labelSelector))
    );
  }
}

/** `undefined`: it takes the manifest out (`$patch: delete`, as in a kustomization). */
function patched(
  manifest: KubeObject,
  { jsonPatch, mergePatch: merge, strategicMergePatch: strategic }: OverridePatch,
): unknown {
  if (jsonPatch !== undefined) return applyJsonPatch(manifest, jsonPatch);
  if (merge !== undefined) return mergePatch(manifest, merge);
  const patch = (strategic ?? {}) as JsonObject;
  if (patch['$patch'] === 'delete') return undefined;
  return strategicMergePatch(
    manifest as unknown as JsonObject,
    patch,
    kubernetesMergeSchema(manifest.apiVersion, manifest.kind),
  );
}

function faultOfResult(before: KubeObject, after: unknown, namespace: string): string | undefined {
  const [fault] = validateManifest(after, '');
  if (fault) return `makes no manifest of it: ${fault.field.replace(/^\./, '')}: ${fault.message}`;
  const [is, was] = [identityOf(after as KubeObject, namespace), identityOf(before, namespace)];
  const changed = Object.keys(was).find((field) => is[field] !== was[field]);
  return changed && `${changed} cannot be changed by an override`;
}

function identityOf({ apiVersion, kind, metadata }: KubeObject, namespace: string): Record<string, string> {
  return {
    apiVersion,
    kind,
    'metadata.name': metadata.name,
    'metadata.namespace': metadata.namespace ?? namespace,
  };
}

function groupOf(apiVersion: string): string {
  const slash = apiVersion.indexOf('/');
  return slash === -1 ? '' : apiVersion.slice(0, slash);
}

function describeTarget({ labelSelector, ...target }: OverridePatch['target']): string {
  const parts = Object.entries(target).map(([field, value]) => `${field} ${value}`);
  if (labelSelector !== undefined) parts.push(`labels ${JSON.stringify(labelSelector)}`);
  return parts.length === 0 ? '' : ` (${parts.join(', ')})`;
}
