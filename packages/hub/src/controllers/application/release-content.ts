import { type Application, conflict, isAlreadyExists, type Release, releases } from '@selvedge/api';
import type { ControllerContext } from '../controller-context.ts';
import { type BuiltRelease, isOwnedBy } from './build-release.ts';
import { deleteIfPresent } from '../delete-if-present.ts';
import { counted } from '../../rollout/counted.ts';

/** `fault`: the name is taken by something that the hub did not make. */
export type EnsuredRelease = { readonly release: Release } | { readonly fault: string };

/** Stores the content first, then the Release that names it: there is never a Release without its bytes. */
export async function ensureRelease(
  ctx: ControllerContext,
  application: Application,
  { release, bytes }: BuiltRelease,
): Promise<EnsuredRelease> {
  const { client, fleet, contentLock } = ctx;
  return contentLock.run(release.spec.digest, async () => {
    if (!(await fleet.hasBlob(release.spec.digest))) await fleet.putBlob(release.spec.digest, bytes());
    const { name, namespace = '' } = release.metadata;
    const present = await client.find<Release>(releases, { name, namespace });
    if (present) return adopt(ctx, application, { present, release });
    try {
      const made = await client.create(releases, release);
      ctx.recorder.record(application, {
        type: 'Normal',
        reason: 'ReleaseCreated',
        message: `Release ${name} made of ${counted(release.spec.resources?.length ?? 0, 'manifest')}${rulesText(release)}`,
      });
      return { release: made };
    } catch (error) {
      if (!isAlreadyExists(error)) throw error;
      throw conflict(releases, name, 'it was made at the same time');
    }
  });
}

/** That there is more to it than its manifests. */
function rulesText({ spec }: Release): string {
  const rules = [
    ...(spec.apply === undefined ? [] : ['rules of spec.apply']),
    ...(spec.nodeGroups === undefined ? [] : [`node groups ${spec.nodeGroups.join(', ')}`]),
  ];
  return rules.length === 0 ? '' : ` with ${rules.join(' and ')}`;
}

async function adopt(
  { client }: ControllerContext,
  application: Application,
  { present, release }: { present: Release; release: Release },
): Promise<EnsuredRelease> {
  if (present.spec.digest !== release.spec.digest) {
    const { name } = present.metadata;
    return { fault: `Release ${name} exists with another digest and was not made by the hub: delete it.` };
  }
  if (isOwnedBy(present, application)) return { release: present };
  // Left over from an Application of the same name that is gone.
  const { ownerReferences } = release.metadata;
  const metadata = { ...present.metadata, ...(ownerReferences ? { ownerReferences } : {}) };
  return { release: await client.update(releases, { ...present, metadata }) };
}

/** Deletes the Release, and its content when no other Release has the same. */
export async function deleteRelease(ctx: ControllerContext, { metadata, spec }: Release): Promise<void> {
  const { client, fleet, contentLock } = ctx;
  await contentLock.run(spec.digest, async () => {
    await deleteIfPresent(client, releases, metadata);
    const { items } = await client.list<Release>(releases);
    if (!items.some((other) => other.spec.digest === spec.digest)) await fleet.deleteBlob(spec.digest);
  });
}
