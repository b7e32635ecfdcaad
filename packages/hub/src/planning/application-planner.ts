import {
  type Application,
  type ApplicationPlan,
  type Clock,
  type KubeObject,
  type ObjectClient,
  sites,
  StatusError,
} from '@selvedge/api';
import type { PreviewAction } from '@selvedge/apiserver';
import type { FleetStore } from '@selvedge/store';
import { Limiter } from '../concurrency/limiter.ts';
import { findReleaseFault } from '../controllers/application/check-release.ts';
import type { ImageResolver } from '../images/image-resolver.ts';
import type { FoundLayers, ImageSizes } from '../registry/image-sizes.ts';
import { imagesToLookUp, layerKey } from './plan-bytes.ts';
import { applicationPlan, sitesToGive } from './application-plan.ts';
import { readPlanKnowledge } from './plan-knowledge.ts';
import { previewRelease } from './preview-release.ts';
import { findReceivers } from './receivers.ts';

export interface ApplicationPlannerOptions {
  readonly client: () => ObjectClient;
  readonly fleet: FleetStore;
  readonly clock: Clock;
  /** Absent: registries are not asked. */
  readonly imageSizes?: ImageSizes | undefined;
  readonly imageResolver?: ImageResolver | undefined;
}

/** A plan reads all Sites: many at once would only wait for each other. */
const maxPlansAtOnce = 4;
const maxImagesLookedUp = 64;
const lookUpMilliseconds = 10_000;

/** `applications/plan`: what would happen if this Application were written now. */
export function planAction(options: ApplicationPlannerOptions): PreviewAction {
  const limiter = new Limiter(maxPlansAtOnce);
  return {
    kind: { group: 'selvedge.dev', version: 'v1alpha1', kind: 'ApplicationPlan' },
    over: keepStanding,
    preview: ({ object, previous }, { user, authorizer }) => {
      const { group, version, plural: resource } = sites;
      const question = {
        application: object as Application,
        previous: previous as Application | undefined,
        mayReadSites: authorizer.decide(user, { verb: 'list', group, version, resource }).allowed,
      };
      return limiter.run(() => planApplication(options, question));
    },
  };
}

/** What other commands set, and a file does not speak of, stays as it is: the pause, and the consent to a removal. */
function keepStanding(sent: KubeObject, present: KubeObject): KubeObject {
  const { spec } = sent as Partial<Application>;
  const { paused, removal } = (present as Application).spec;
  // What is no spec at all is told so by validation.
  if (typeof spec !== 'object' || spec === null) return sent;
  const approved = removal?.approved;
  const keepsApproval = approved !== undefined && (spec.removal === undefined || isRecord(spec.removal));
  return {
    ...sent,
    spec: {
      ...(paused === undefined ? {} : { paused }),
      ...spec,
      ...(keepsApproval ? { removal: { approved, ...spec.removal } } : {}),
    },
  };
}

function isRecord(value: unknown): boolean {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

interface PlanQuestion {
  readonly application: Application;
  readonly previous: Application | undefined;
  /** Whoever asks may list Sites. */
  readonly mayReadSites: boolean;
}

async function planApplication(
  options: ApplicationPlannerOptions,
  { application, previous, mayReadSites }: PlanQuestion,
): Promise<ApplicationPlan> {
  const sources = { client: options.client(), fleet: options.fleet, now: options.clock.now() };
  const built = await previewRelease({ ...sources, imageResolver: options.imageResolver }, application);
  const knowledge = await readPlanKnowledge(sources, { application, previous, built });
  const fault = await findReleaseFault(application, built, knowledge.sites);
  if (fault) throw new StatusError('Invalid', `it would give no release (${fault.reason}): ${fault.message}`);
  const { release, resolver, rows, releases } = knowledge;
  const question = {
    application,
    release,
    resolver,
    sites: sitesToGive(knowledge),
    rows,
    releases,
    mayReadSites,
  };
  const found = await findReceivers(sources, question);
  const wanted = imagesToLookUp(found.receivers);
  const layers = options.imageSizes
    ? await lookUp(options.imageSizes, {
        namespace: application.metadata.namespace ?? '',
        images: wanted.slice(0, maxImagesLookedUp),
      })
    : new Map<string, FoundLayers>();
  for (const { image, architecture } of options.imageSizes ? wanted.slice(maxImagesLookedUp) : []) {
    const unknown = `no more than ${maxImagesLookedUp} images are looked up`;
    layers.set(layerKey(image, architecture), { unknown });
  }
  return {
    apiVersion: 'selvedge.dev/v1alpha1',
    kind: 'ApplicationPlan',
    metadata: { name: application.metadata.name, namespace: application.metadata.namespace ?? '' },
    status: await applicationPlan(knowledge, found, { layers, reported: found.reported }),
  };
}

async function lookUp(
  sizes: ImageSizes,
  { namespace, images }: { namespace: string; images: readonly { image: string; architecture: string }[] },
): Promise<Map<string, FoundLayers>> {
  const signal = AbortSignal.timeout(lookUpMilliseconds);
  const found = await Promise.all(
    images.map(async ({ image, architecture }) => {
      const layers = await sizes.find({ namespace, image, architecture }, signal);
      return [layerKey(image, architecture), layers] as const;
    }),
  );
  return new Map(found);
}
