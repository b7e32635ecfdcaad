import {
  type Application,
  applications,
  type ConfigMap,
  configMaps,
  type EnrollmentToken,
  enrollmentTokens,
  KeyedMutex,
  type KubeObject,
  type MachineClaim,
  machineClaims,
  type MachineImage,
  machineImages,
  machines,
  type MachineScript,
  machineScripts,
  type MachineTag,
  machineTags,
  type Namespace,
  namespaces,
  type RegistryCredential,
  type Release,
  type ResourceRef,
  type Rollout,
  registryCredentials,
  releases,
  rollouts,
  type ServiceAccount,
  serviceAccounts,
  type Site,
  sites,
} from '@selvedge/api';
import { createInformer } from '@selvedge/kube';
import { createSecretVersionsInformer } from '../credentials/secret-versions-informer.ts';
import { createProjectingInformer } from '../informers/projecting-informer.ts';
import { machineFacts } from '../machines/machine-facts.ts';
import { defaultRemovalLimits } from '../removal/judge-removal.ts';
import { runApplicationController } from './application/application-controller.ts';
import { runContentController } from './content/content-controller.ts';
import type { ControllerContext, ControllerOptions } from './controller-context.ts';
import { runEnrollmentTokenController } from './enrollment-token/enrollment-token-controller.ts';
import { expireEvents } from './event/event-expiry.ts';
import { EventRecorder } from './event/event-recorder.ts';
import { runMachineClaimController } from './machine-claim/machine-claim-controller.ts';
import { runMachineImageController } from './machine-image/machine-image-controller.ts';
import { runMachineScriptController } from './machine-script/machine-script-controller.ts';
import { runMachineTagController } from './machine-tag/machine-tag-controller.ts';
import { runMachineController } from './machine/machine-controller.ts';
import { Settling } from './removal/settling.ts';
import { runSiteRemovalController } from './removal/site-removal-controller.ts';
import { runRegistryCredentialController } from './registry-credential/registry-credential-controller.ts';
import { keysFromMirrors } from '../sources/mirror/mirror-source-reader.ts';
import { runSourceController } from '../sources/source-controller.ts';
import { openSourceReaders } from '../sources/source-readers.ts';
import { runRolloutController } from './rollout/rollout-controller.ts';
import { SiteLacks } from './rollout/site-lacks.ts';
import { runDefaultServiceAccountController } from './service-account/default-service-account-controller.ts';
import { runSiteController } from './site/site-controller.ts';

export type { ControllerOptions, EcrAccess } from './controller-context.ts';
export { runTokenSecretController } from './service-account/token-secret-controller.ts';

/**
 * Starts everything that turns what people wrote into what sites are to do. `stopped` resolves when the signal has fired
 * and the last write has ended; the store must stay open until then.
 */
export function startControllers(options: ControllerOptions): { stopped: Promise<void> } {
  const { client, clock, logger, signal } = options;
  const informerOf = <T extends KubeObject>(resource: ResourceRef) =>
    createInformer<T>({ client, resource, clock, logger });
  const informers = {
    applications: informerOf<Application>(applications),
    releases: informerOf<Release>(releases),
    rollouts: informerOf<Rollout>(rollouts),
    sites: informerOf<Site>(sites),
    tokens: informerOf<EnrollmentToken>(enrollmentTokens),
    namespaces: informerOf<Namespace>(namespaces),
    serviceAccounts: informerOf<ServiceAccount>(serviceAccounts),
    configMaps: informerOf<ConfigMap>(configMaps),
    registryCredentials: informerOf<RegistryCredential>(registryCredentials),
    machines: createProjectingInformer({ client, resource: machines, clock, logger }, machineFacts),
    machineImages: informerOf<MachineImage>(machineImages),
    machineClaims: informerOf<MachineClaim>(machineClaims),
    machineTags: informerOf<MachineTag>(machineTags),
    machineScripts: informerOf<MachineScript>(machineScripts),
    secretVersions: createSecretVersionsInformer(options),
  };
  const recorder = new EventRecorder({ client, clock, logger });
  const ctx: ControllerContext = {
    ...options,
    informers,
    recorder,
    siteLacks: new SiteLacks(options.fleet),
    listensSince: clock.now().getTime(),
    removalLimits: options.removalLimits ?? defaultRemovalLimits,
    deselected: new Settling(),
    applicationLock: new KeyedMutex(),
    contentLock: new KeyedMutex(),
  };
  const running = [
    runApplicationController(ctx),
    runSources(ctx),
    runRolloutController(ctx),
    runSiteController(ctx),
    runSiteRemovalController(ctx),
    runEnrollmentTokenController(ctx),
    runRegistryCredentialController(ctx),
    runContentController(ctx),
    runMachineController(ctx),
    runMachineClaimController(ctx),
    runMachineImageController(ctx),
    runMachineScriptController(ctx),
    runMachineTagController(ctx),
    runDefaultServiceAccountController(ctx),
    expireEvents(ctx),
    ...Object.values(informers).map((informer) => informer.run(signal)),
  ];
  return { stopped: Promise.all(running).then(() => recorder.flush()) };
}

async function runSources(ctx: ControllerContext): Promise<void> {
  const { sources, client, fleet, clock, informers } = ctx;
  if (!sources) return;
  const readers = openSourceReaders({ client, fleet, clock, sites: informers.sites }, sources);
  const counts = sources.counts ? { counts: sources.counts } : {};
  await runSourceController(ctx, { readers, wakes: [keysFromMirrors(ctx)], ...counts });
}
