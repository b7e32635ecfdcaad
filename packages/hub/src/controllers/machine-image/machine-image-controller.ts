import { isDeepStrictEqual } from 'node:util';
import { type Condition, type MachineImage, machineImages, type Site } from '@selvedge/api';
import {
  type KeySource,
  keysFromInformer,
  nameOfKey,
  type ReconcileResult,
  runController,
} from '@selvedge/kube';
import { withCondition } from '../../rollout/conditions.ts';
import type { ControllerContext } from '../controller-context.ts';
import { coalesced } from '../key-sources.ts';

const settleMilliseconds = 1_000;
/** Sites that a message names. */
const namedSites = 3;

/** Says on each MachineImage how many machines are to have it, and whether it can be used where it is needed: as far as sites have said. */
export function runMachineImageController(ctx: ControllerContext): Promise<void> {
  const { informers, clock, logger, signal } = ctx;
  const settled = (source: KeySource) =>
    coalesced(source, { clock, milliseconds: settleMilliseconds, signal });
  return runController({
    name: 'machine-image',
    sources: [
      keysFromInformer(informers.machineImages),
      settled(changedNames(informers.machines, ({ spec }) => (spec.provision ? [spec.provision.image] : []))),
      settled(
        changedNames(informers.sites, (site) => statesOf(site).map(({ name, state }) => `${name}/${state}`)),
      ),
    ],
    reconcile: (key) => reconcile(ctx, key),
    clock,
    logger,
    signal,
  });
}

const statesOf = ({ status }: Site) => status?.rack?.images ?? [];

/** Names of images (before a slash) that an object newly names, or no longer. */
function changedNames<T>(
  informer: {
    readonly synced: Promise<void>;
    onChange(handlers: {
      add: (object: T) => void;
      update: (object: T, previous: T) => void;
      delete: (object: T) => void;
    }): () => void;
  },
  namesOf: (object: T) => readonly string[],
): KeySource {
  const nameOf = (text: string) => text.split('/')[0] ?? '';
  return {
    synced: informer.synced,
    subscribe: (enqueue) => {
      const tell = (names: readonly string[]) => {
        for (const name of names) enqueue(nameOf(name));
      };
      return informer.onChange({
        add: (object) => tell(namesOf(object)),
        delete: (object) => tell(namesOf(object)),
        update: (object, previous) => {
          const [now, before] = [namesOf(object), namesOf(previous)];
          tell([
            ...now.filter((name) => !before.includes(name)),
            ...before.filter((name) => !now.includes(name)),
          ]);
        },
      });
    },
  };
}

async function reconcile(ctx: ControllerContext, key: string): Promise<ReconcileResult> {
  const { client, clock, informers } = ctx;
  const image = await client.find<MachineImage>(machineImages, nameOfKey(key));
  if (!image) return 'done';
  const { name, generation = 0 } = image.metadata;
  const users = informers.machines.list().filter(({ spec }) => spec.provision?.image === name).length;
  const ready = readinessOf(image, informers.sites.list());
  const before = image.status?.conditions ?? [];
  const now = clock.now().toISOString();
  const conditions = withCondition(before, { type: 'Ready', ...ready, observedGeneration: generation }, now);
  const status = { machines: users, conditions };
  if (!isDeepStrictEqual(status, image.status))
    await client.updateStatus(machineImages, { ...image, status });
  return 'done';
}

function readinessOf(
  { metadata, spec }: MachineImage,
  sites: readonly Site[],
): Pick<Condition, 'status' | 'reason' | 'message'> {
  const isDisk = (spec.type ?? 'Disk') === 'Disk';
  const missing = isDisk
    ? (['format', 'digest', 'sizeBytes'] as const).filter((field) => spec[field] === undefined)
    : [];
  if (missing.length > 0) {
    const message = `${missing.map((field) => `spec.${field}`).join(', ')} is missing: selvedge machine-image push fills it in.`;
    return { status: 'False', reason: 'Incomplete', message };
  }
  const states = sites.flatMap((site) =>
    statesOf(site)
      .filter(
        (state) =>
          state.name === metadata.name && (spec.digest === undefined || state.digest === spec.digest),
      )
      .map((state) => ({ site: site.metadata.name, ...state })),
  );
  const failed = states.filter(({ state }) => state === 'Failed');
  const [first] = failed;
  if (first) {
    const named = failed.slice(0, namedSites).map(({ site }) => site);
    const more = failed.length > named.length ? ` and ${failed.length - named.length} more` : '';
    const message = `It failed at ${named.join(', ')}${more}; ${first.site}: ${first.message ?? 'it does not say why'}`;
    return { status: 'False', reason: 'FailedAtSites', message };
  }
  const whole = states.filter(({ state }) => state === 'Ready').length;
  const fetching = states.length - whole;
  const parts = [`${whole} ${whole === 1 ? 'site has' : 'sites have'} it whole`];
  if (fetching > 0) parts.push(`${fetching} ${fetching === 1 ? 'is' : 'are'} fetching it`);
  return { status: 'True', reason: 'Usable', message: `${parts.join(', ')}.` };
}
