import { type Application, conflict, isAlreadyExists, type Release, releases } from '@selvedge/api';
import type { ControllerContext } from '../controller-context.ts';
import { isOwnedBy } from './build-release.ts';
import type { ReleaseFault } from './check-release.ts';
import { counted } from '../../rollout/counted.ts';

/** `fault`: the name is taken by something that the hub did not make. */
export type EnsuredRelease =
  | { readonly release: Release; readonly fault?: undefined }
  | { readonly fault: ReleaseFault };

/** Stores the content first, then the Release that names it: there is never a Release without its bytes. */
export async function ensureRelease(
  ctx: ControllerContext,
  application: Application,
  { release, bytes }: { readonly release: Release; readonly bytes: () => Promise<Uint8Array> },
): Promise<EnsuredRelease> {
  const { client, fleet, contentLock } = ctx;
  return contentLock.run(release.spec.digest, async () => {
    if (!(await fleet.hasBlob(release.spec.digest))) {
      await fleet.putBlob(release.spec.digest, await bytes());
    }
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
    ...(spec.overrides === undefined ? [] : [counted(spec.overrides.length, 'override')]),
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
    const message = `Release ${name} exists with another digest and was not made by the hub: delete it.`;
    return { fault: { reason: 'NameTaken', message } };
  }
  if (isOwnedBy(present, application)) return { release: present };
  // Left over from an Application of the same name that is gone.
  const { ownerReferences } = release.metadata;
  const metadata = { ...present.metadata, ...(ownerReferences ? { ownerReferences } : {}) };
  return { release: await client.update(releases, { ...present, metadata }) };
}
