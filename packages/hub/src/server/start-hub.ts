import type { ObjectClient } from '@selvedge/api';
import { type ConnectSubresource, createApiServer, startHttpsServer } from '@selvedge/apiserver';
import type { FleetStore } from '@selvedge/store';
import { startStoreUpkeep } from '../backup/store-upkeep.ts';
import { ExportEndpoint } from '../carry/export-endpoint.ts';
import { SiteExporter } from '../carry/site-exporter.ts';
import { runTokenSecretController, startControllers } from '../controllers/index.ts';
import { openRegistryLogins } from '../credentials/open-registry-logins.ts';
import { SealedValues } from '../credentials/sealed-values.ts';
import { tokenIssuer } from '../gateway/enrollment-token-text.ts';
import { type Gateway, startGateway } from '../gateway/gateway.ts';
import { lockDataDirectory } from '../identity/data-lock.ts';
import { openHubIdentity } from '../identity/hub-identity.ts';
import { openPrivateDirectory } from '../identity/private-file.ts';
import { watchFiles } from '../identity/watch-files.ts';
import { machineConsole } from '../link/machine-console.ts';
import { HubRegistry } from '../registry/hub-registry.ts';
import { hubDefaultAccess, hubResourceDefinitions } from '../resources/index.ts';
import { openHubAuthentication } from './hub-authentication.ts';
import {
  certificateNames,
  type HubOptions,
  hubUrls,
  localUrl,
  ownRegistries,
  type ResolvedHubOptions,
  resolveHubOptions,
} from './hub-options.ts';
import { SourceCounts } from '../sources/source-counts.ts';
import { WebhookEndpoint } from '../sources/webhooks/webhook-endpoint.ts';
import { HubTls } from './hub-tls.ts';
import { addWebhookMetrics } from './webhook-metrics.ts';
import { listenError } from './listen-error.ts';
import { addLinkMetrics } from './link-metrics.ts';
import { addFleetMetrics } from './fleet-metrics.ts';
import { ecrAccess } from './ecr-options.ts';
import { addMachineMetrics } from './machine-metrics.ts';
import { openAuditLog } from './open-audit-log.ts';
import { openHubStore } from './open-hub-store.ts';
import { openHubImages } from './registry-options.ts';
import { addSourceMetrics } from './source-metrics.ts';
import { openSourceAccess } from './source-options.ts';
import { renewPeriodically } from './renew-periodically.ts';
import { peersOf } from './peer-options.ts';
import { addRegistryMetrics } from './registry-metrics.ts';
import { addRolloutMetrics } from './rollout-metrics.ts';

/** A hub that serves. */
export interface Hub {
  /** Where programs on this machine reach it. */
  readonly url: string;
  readonly port: number;
  readonly kubeconfigPath: string;
  /** In process, as the hub itself. */
  readonly client: ObjectClient;
  readonly fleet: FleetStore;
  /** Orderly stop: open requests are answered first. Again: the same promise. */
  close(): Promise<void>;
}

const gatewayUser = { name: 'system:selvedge:gateway', groups: ['system:masters'] };
const controllersUser = { name: 'system:selvedge:controllers', groups: ['system:masters'] };

/** Starts a hub; resolves when it serves, rejects with a message for the person who started it. */
export async function startHub(options: HubOptions): Promise<Hub> {
  const resolved = resolveHubOptions(options);
  // What is started later is stopped earlier, at the end or when a start fails half-way.
  await using started = new AsyncDisposableStack();
  const hub = await startParts(resolved, started);
  const running = started.move();
  let closed: Promise<void> | undefined;
  return { ...hub, close: () => (closed ??= running.disposeAsync()) };
}

/** The one list of what a hub is made of, in the order of its start. */
async function startParts(
  options: ResolvedHubOptions,
  started: AsyncDisposableStack,
): Promise<Omit<Hub, 'close'>> {
  const { dataDirectory, connectedWithinSeconds, clock, logger, random } = options;
  await openPrivateDirectory(dataDirectory);
  const lock = lockDataDirectory(dataDirectory);
  started.defer(() => lock.release());

  const identity = await openHubIdentity({ dataDirectory, clock, logger });

  const store = await openHubStore({ dataDirectory, store: options.store, identity, clock, logger });
  started.defer(() => store.close());
  const { fleet } = store;

  const logins = openRegistryLogins({ client: () => api.client(gatewayUser), clock });
  // Known only when the listener has its port, asked for only later.
  let advertised: readonly string[] = [];
  const registry = new HubRegistry({
    storage: options.registryStorage,
    isShared: options.store.url !== undefined,
    api: () => api,
    client: () => api.client(gatewayUser),
    fleet,
    hubId: identity.hubId,
    uploadKey: identity.fleetKey.derive('selvedge registry uploads v1'),
    // Images may be resolved before the listener has its port, which mostly is known anyhow.
    hubUrls: () => (advertised.length > 0 ? advertised : hubUrls(options, options.port)),
    authenticateAgent: (authorization) => gateway.authenticateAgent(authorization),
    clock,
    logger,
    random,
  });
  const images = openHubImages(options.registries, { logins, own: registry.own, clock, logger });
  const siteProxy: ConnectSubresource = { connect: (request) => gateway.link.connect(request) };
  // Until there is a gateway nobody was heard.
  let machinesHeldAt: Gateway['machinesHeldAt'] = () => undefined;
  let findSite: Gateway['findSite'] = () => undefined;
  const definitions = hubResourceDefinitions({
    fleet,
    objects: store.objects,
    clock,
    connectedWithinSeconds,
    issueEnrollmentToken: tokenIssuer({ identity, clock, hubUrls: () => advertised }),
    client: () => api.client(gatewayUser),
    siteProxy,
    machinesHeldAt: (site) => machinesHeldAt(site),
    findSite: (site) => findSite(site),
    machineConsole: machineConsole({ client: () => api.client(gatewayUser), siteProxy }),
    siteExport: new ExportEndpoint({
      client: () => api.client(gatewayUser),
      exporter: new SiteExporter({
        fleet,
        instance: store.instance,
        identity,
        sealed: new SealedValues({
          client: { find: (resource, name) => api.client(gatewayUser).find(resource, name) },
          identity,
          clock,
        }),
        images: images.repositories,
        clock,
      }),
      logger,
    }),
    imageSizes: images.sizes,
    imageResolver: images.resolver,
  });
  const stopAuthentication = new AbortController();
  const authentication = await openHubAuthentication({
    dataDirectory,
    options: options.authentication,
    store: store.objects,
    urls: () => advertised,
    clock,
    logger,
    signal: stopAuthentication.signal,
  });
  started.defer(() => stopAuthentication.abort());

  const storeUpkeep = startStoreUpkeep({ store, hubId: identity.hubId, dataDirectory, clock, logger });
  started.defer(() => storeUpkeep.close());

  const { serving } = options;
  const audit = serving.audit && (await openAuditLog(serving.audit, { clock, logger }));
  if (audit) started.defer(() => audit.close());
  const api = await createApiServer({
    limits: serving.limits,
    maxObjectsPerKind: serving.maxObjectsPerKind,
    ...(audit ? { audit } : {}),
    healthChecks: [{ name: 'store', check: () => store.check() }],
    defaultAccess: hubDefaultAccess,
    definitions: [...definitions, ...authentication.definitions],
    authenticators: authentication.authenticators,
    endpoints: [...authentication.endpoints, ...storeUpkeep.endpoints],
    store: store.objects,
    clock,
    logger,
  });
  started.defer(() => api.close());

  const sourceCounts = new SourceCounts();
  // Of the hubs on one database only one runs controllers; the others wait for it to go.
  const stopControllers = new AbortController();
  // Known with the port; a hub that does not come so far lets its controllers go.
  const registryNames = Promise.withResolvers<readonly string[]>();
  stopControllers.signal.addEventListener('abort', () => registryNames.resolve([]));
  const controllers = store.whileLeading(stopControllers.signal, (signal) => {
    const client = api.client(controllersUser);
    const { removalLimits } = options;
    const { sealedVersion } = identity;
    const ecr = ecrAccess(options);
    const sealing = { sealedVersion, ecr };
    const shared = {
      client,
      fleet,
      clock,
      logger,
      connectedWithinSeconds,
      removalLimits,
      ownRegistries: () => registryNames.promise,
      signal,
      ...sealing,
    };
    const { resolver, artifacts } = images;
    const { helmProgram, allowsRenderNetwork } = options;
    const access = { dataDirectory, client, artifacts, helmProgram, allowsRenderNetwork, clock, logger };
    const sources = { ...openSourceAccess(options.sourceHosts, access), counts: sourceCounts };
    const controllers = startControllers({
      ...shared,
      sources,
      ...(resolver ? { imageResolver: resolver } : {}),
    });
    return Promise.all([controllers.stopped, registry.collectPeriodically(signal)]).then(() => undefined);
  });
  started.defer(() => {
    stopControllers.abort();
    return controllers;
  });

  const gateway = await startGateway({
    client: api.client(gatewayUser),
    fleet,
    instance: store.instance,
    identity,
    clock,
    logger,
    random,
    peers: peersOf(options, () => ({ port: listener.port, tls })),
    connectedWithinSeconds,
    hubUrls: () => advertised,
    syncWaitSeconds: options.syncWaitSeconds,
    maxInWork: options.maxInWork,
  });
  started.defer(() => gateway.close());
  machinesHeldAt = (site) => gateway.machinesHeldAt(site);
  findSite = (site) => gateway.findSite(site);
  addFleetMetrics(api.metrics.registry, {
    fleet,
    clock,
    connectedWithinSeconds,
    gateway,
  });
  addMachineMetrics(api.metrics.registry, { gateway });
  addRegistryMetrics(api.metrics.registry, registry.counts);
  addLinkMetrics(api.metrics.registry, gateway.link);
  addSourceMetrics(api.metrics.registry, sourceCounts);
  addRolloutMetrics(api.metrics.registry, { objects: store.objects, fleet, clock });

  const names = certificateNames(options);
  const tls = new HubTls({ identity, names, files: options.authentication, clock, logger });
  const { host, port } = options;
  const webhooks = new WebhookEndpoint({ client: api.client(gatewayUser), clock, logger });
  started.defer(() => webhooks.close());
  addWebhookMetrics(api.metrics.registry, webhooks);
  const listener = await startHttpsServer({
    host,
    port,
    tls: await tls.open(),
    handle: (req, res, peer) => {
      const path = req.url ?? '/';
      if (gateway.owns(path)) return gateway.handle(req, res);
      if (webhooks.owns(path)) return webhooks.handle(req, res);
      if (registry.owns(path)) return registry.handle(req, res, peer.user);
      return api.handle(req, res, peer.user ? { certificateUser: peer.user } : {});
    },
    maxConnections: serving.maxConnections,
    clock,
    logger,
  }).catch((error: unknown) => {
    throw listenError(error, options);
  });
  started.defer(() => listener.close());
  // Long-polls are answered while their connections still live.
  started.defer(() => gateway.drain());
  // First: whoever asks learns that the hub is going, and watches end, while all of it still serves.
  started.defer(() => api.drain(serving.shutdownDelayMs));

  advertised = hubUrls(options, listener.port);
  registryNames.resolve(ownRegistries(options, listener.port));
  const url = localUrl(options, listener.port);
  const writeKubeconfig = () => identity.writeAdminKubeconfig(tls.access(url));
  const kubeconfigPath = await writeKubeconfig();

  const stopUpkeep = new AbortController();
  const upkeep = { clock, logger, random, signal: stopUpkeep.signal };
  const watched = [tls.watched(listener, writeKubeconfig), ...authentication.watched];
  const running = [
    renewPeriodically({ renewals: { server: () => tls.renew(), admin: writeKubeconfig }, ...upkeep }),
    watchFiles({ watched, ...upkeep }),
    runTokenSecretController({
      client: api.client(controllersUser),
      signToken: authentication.signLastingToken,
      authorities: () => tls.access(url).authorities,
      ...upkeep,
    }),
  ];
  started.defer(async () => {
    stopUpkeep.abort();
    await Promise.all(running);
  });
  return { url, port: listener.port, kubeconfigPath, client: api.client(gatewayUser), fleet };
}
