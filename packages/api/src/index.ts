/**
 * The words that every part of Selvedge shares: the kinds of `selvedge.dev/v1alpha1` and their schemas, object
 * metadata, Status errors, label selectors, and the protocol between agents and the hub. Pure: no I/O, no clock, no
 * dependence on where it runs.
 *
 * A kind is declared once: a TypeBox schema for what users write gives its type, validation, defaults and OpenAPI; an
 * interface describes what the hub writes (status). `ObjectClient` is the one way in which controllers, the CLI and
 * tests reach objects, whatever carries them.
 */
export * from './canonical-json.ts';
export * from './clock.ts';
export type { OverrideTrace } from './content/apply-override.ts';
export { changeImage, mapImages, splitImage } from './content/image-names.ts';
export {
  type Combination,
  missingValues,
  type ReleaseIdentity,
  ReleaseResolver,
  type ResolvedRelease,
  type ResolveFaults,
  type SiteFacts,
} from './content/release-resolver.ts';
export { variantOf } from './content/release-variant.ts';
export { resolveRelease } from './content/resolve-release.ts';
export * from './duration.ts';
export * from './field-error.ts';
export * from './install/agent-install.ts';
export * from './install/agent-manifests.ts';
export * from './install/agent-rules.ts';
export * from './inventory/inventory-parts.ts';
export * from './inventory/site-inventory.ts';
export * from './json-value.ts';
export * from './kinds/access.ts';
export * from './kinds/application-plan.ts';
export * from './kinds/application-render.ts';
export * from './kinds/application-source.ts';
export * from './kinds/application.ts';
export * from './kinds/apply-rules.ts';
export * from './kinds/coordination.ts';
export * from './kinds/core.ts';
export * from './kinds/delivery.ts';
export * from './kinds/enrollment-token.ts';
export * from './kinds/inventory-schema.ts';
export * from './kinds/label-selector-schema.ts';
export * from './kinds/machine-claim.ts';
export * from './kinds/machine-image.ts';
export * from './kinds/machine-script.ts';
export * from './kinds/machine-tag.ts';
export * from './kinds/machine.ts';
export * from './kinds/mirror-kinds.ts';
export * from './kinds/override-schemas.ts';
export * from './kinds/rack-schemas.ts';
export * from './kinds/registry-credential.ts';
export * from './kinds/release.ts';
export * from './kinds/rollout.ts';
export * from './kinds/site.ts';
export * from './kinds/status-schemas.ts';
export * from './keyed-mutex.ts';
export * from './label-selector.ts';
export * from './logger.ts';
export * from './machines/bmc-quirks.ts';
export * from './machines/boot-loaders.ts';
export * from './machines/dhcp-snippets.ts';
export * from './machines/disk-image-header.ts';
export * from './machines/inspection-wire.ts';
export * from './machines/machine-identity.ts';
export * from './machines/machine-inventory.ts';
export * from './machines/machine-note.ts';
export * from './machines/machine-phases.ts';
export * from './machines/machine-report.ts';
export * from './machines/rack-order.ts';
export * from './machines/root-device.ts';
export * from './machines/script-metadata.ts';
export * from './machines/system-task-lines.ts';
export * from './manifests.ts';
export * from './object-client.ts';
export * from './object-limits.ts';
export * from './object-meta.ts';
export * from './object-name.ts';
export * from './placement.ts';
export { formatProgress } from './rules/format-progress.ts';
export { type ImageReference, parseImageReference } from './image-reference.ts';
export * from './quantity.ts';
export * from './registry/docker-config.ts';
export * from './registry/registry-scope.ts';
export * from './removal/removal-set.ts';
export * from './rules/delivery-rules.ts';
export * from './rules/link-access.ts';
export * from './status-error.ts';
export * from './sync/fitting-wait.ts';
export * from './sync/link-protocol.ts';
export * from './sync/sealed-values.ts';
export * from './sync/site-archive.ts';
export * from './sync/sync-protocol.ts';
export * from './terminal-text.ts';
export * from './variables.ts';
export * from './windows/site-policy.ts';
export * from './windows/windows.ts';
