/**
 * Patches as Kubernetes applies them: RFC 6902, RFC 7396 and strategic merge. Pure; a door of its own, since only the API server and
 * overrides need it.
 */
export { applyJsonPatch } from './json-patch.ts';
export { kubernetesMergeSchema } from './kubernetes-merge-schema.ts';
export { mergePatch } from './merge-patch.ts';
export type { MergeSchema } from './merge-schema.ts';
export { strategicMergePatch } from './strategic-merge-patch.ts';
