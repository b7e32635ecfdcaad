import { copyJson, invalid, type KubeObject } from '@selvedge/api';
import { dropUnknownFields } from '../admission/strict-fields.ts';
import { setDefaults } from '../schema/set-defaults.ts';
import { validate } from '../schema/validate.ts';
import type { Registry, WriteOptions } from './registry.ts';
import type { Resource } from './resource-catalog.ts';

/** Answers a kind that is only asked, never stored; its metadata may be empty. Throws `Invalid` with the field's path. */
export async function answerReview(
  registry: Registry,
  resource: Resource,
  { body, options }: { body: KubeObject; options: WriteOptions },
): Promise<KubeObject> {
  const object = copyJson(body);
  // Ours to say; older clients send it half filled.
  delete object['status'];
  dropUnknownFields(resource, object, options);
  setDefaults(object, resource.schema);
  const errors = validate(object, resource.schema, { isSensitive: false });
  if (errors.length > 0 || !resource.review) throw invalid(resource.ref, object.metadata.name, errors);
  const { user, dryRun } = options;
  return resource.review(object, { user, dryRun, authorizer: registry.authorizer });
}
