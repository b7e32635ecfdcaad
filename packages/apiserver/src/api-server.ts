import {
  type Clock,
  isAlreadyExists,
  KeyedMutex,
  type Logger,
  namespaces,
  type ObjectClient,
  resourceQuotas,
} from '@selvedge/api';
import type { ObjectStore } from '@selvedge/store';
import { authenticate } from './authentication/authenticate.ts';
import type { UserInfo } from './authentication/user-info.ts';
import type { Authorizer } from './authorization/authorizer.ts';
import { AccessControl } from './authorization/access-control.ts';
import type { DefaultAccess } from './authorization/default-roles.ts';
import { NamespaceGate } from './admission/namespace-gate.ts';
import { defaultNamespace } from './admission/namespace-object.ts';
import type { AuditOptions } from './audit/auditor.ts';
import { defaultFlowLimits, type FlowLimits } from './flow-control/flow-control.ts';
import { Health, type HealthCheck } from './health/health.ts';
import { MetricRegistry } from './metrics/metric-registry.ts';
import { metricsEndpoint } from './metrics/metrics-endpoint.ts';
import { observeStore } from './metrics/observe-store.ts';
import { addProcessMetrics } from './metrics/process-metrics.ts';
import { ServerMetrics } from './metrics/server-metrics.ts';
import { GarbageCollector } from './garbage-collection/garbage-collector.ts';
import type { Endpoint } from './http/endpoint.ts';
import type { ApiRequest, ApiResponse } from './http/exchange.ts';
import { RequestHandler } from './http/request-handler.ts';
import { WatchCache } from './watch-cache/watch-cache.ts';
import { defaultMaxObjectsPerKind, ObjectTotals } from './quota/object-totals.ts';
import { QuotaLedger } from './quota/quota-ledger.ts';
import { InProcessClient } from './registry/in-process-client.ts';
import { NamespaceLifecycle } from './registry/namespace-lifecycle.ts';
import type { Registry } from './registry/registry.ts';
import { ResourceCatalog } from './registry/resource-catalog.ts';
import type { Authenticator, Credentials } from './authentication/authenticator.ts';
import type {
  ResourceDefinition,
  ReviewDefinition,
  VirtualResourceDefinition,
} from './resource-definition.ts';

export interface ApiServerOptions {
  readonly definitions: readonly (ResourceDefinition | VirtualResourceDefinition | ReviewDefinition)[];
  readonly store: ObjectStore;
  readonly clock: Clock;
  readonly logger: Logger;
  /** Asked in order for every request. */
  readonly authenticators?: readonly Authenticator[];
  /** Paths that are no resources, authorised as such (`nonResourceURLs`) and audited. */
  readonly endpoints?: readonly Endpoint[];
  /** Bounds on what clients may ask for at once. Default: `defaultFlowLimits`. */
  readonly limits?: FlowLimits;
  /** Absent: no audit log. */
  readonly audit?: AuditOptions;
  /** Beside `ping` and `shutdown`. */
  readonly healthChecks?: readonly HealthCheck[];
  /** Roles and bindings to start with, beside those of Kubernetes. */
  readonly defaultAccess?: Partial<DefaultAccess>;
  /** Creations beyond it are refused. Default: 250,000. */
  readonly maxObjectsPerKind?: number;
}

export interface ApiServer {
  /** Answers one request. Never rejects. */
  handle(req: ApiRequest, res: ApiResponse, peer: Pick<Credentials, 'certificateUser'>): Promise<void>;
  /** The same API in process. */
  client(user: UserInfo): ObjectClient;
  /** For what is served beside the API with the same users and rights. */
  readonly access: ServedAccess;
  readonly health: Health;
  readonly metrics: ServerMetrics;
  /**
   * Before the listener closes: `/readyz` fails at once, requests are served on for `delayMs` so that balancers learn of
   * it, then watches end. Resolves when no request is open any more, or after some seconds more.
   */
  drain(delayMs?: number): Promise<void>;
  /** Ends watches and background work; the store stays open. */
  close(): Promise<void>;
}

export interface ServedAccess {
  /** Whose credentials these are; `undefined`: none were presented. Throws `Unauthorized` for what nobody knows. */
  authenticate(credentials: Credentials): Promise<UserInfo | undefined>;
  readonly authorizer: Authorizer;
}

/** Requests that do not end by then are cut. */
const drainMs = 10_000;
const ownUser: UserInfo = { name: 'system:apiserver', groups: ['system:masters'] };

/** Also makes the namespace `default`, and goes on deleting the contents of namespaces that were being deleted. */
export async function createApiServer({
  definitions,
  authenticators = [],
  endpoints = [],
  limits = defaultFlowLimits,
  audit,
  healthChecks = [],
  defaultAccess = {},
  maxObjectsPerKind = defaultMaxObjectsPerKind,
  store,
  clock,
  logger,
}: ApiServerOptions): Promise<ApiServer> {
  const closing = new AbortController();
  const catalog = new ResourceCatalog(definitions);
  const access = new AccessControl(catalog);
  const metrics = new ServerMetrics(new MetricRegistry());
  const stopProcessMetrics = addProcessMetrics(metrics.registry);
  const health = new Health({ clock, logger: logger.child({ component: 'health' }) });
  for (const check of healthChecks) health.add(check);
  const draining = new AbortController();
  health.add({
    name: 'shutdown',
    check: () => {
      if (draining.signal.aborted) throw new Error('the server is shutting down');
    },
  });
  const observed = observeStore(store, metrics);
  const registry: Registry = {
    catalog,
    store: observed,
    cache: new WatchCache({ store: observed, clock, logger, signal: closing.signal }),
    metrics,
    namespaces: new NamespaceGate(store),
    turns: new KeyedMutex(),
    authorizer: access.authorizer,
    quotas:
      catalog.find(resourceQuotas) && new QuotaLedger({ store, clock, logger, closing: closing.signal }),
    totals: new ObjectTotals({ store, clock }, maxObjectsPerKind),
    clock,
    logger,
    closing: closing.signal,
  };
  const handler = new RequestHandler({
    registry,
    authenticators,
    endpoints: [metricsEndpoint(metrics.registry), ...endpoints],
    health,
    metrics,
    limits,
    audit,
  });
  watchHealthOf(registry, health, access);
  const ownClient = new InProcessClient(registry, ownUser);
  await access.start({ registry, client: ownClient, defaultAccess });
  await registry.quotas?.start();
  const namespaceResource = registry.catalog.find(namespaces);
  if (namespaceResource) await makeDefaultNamespace(ownClient);
  const lifecycle = namespaceResource && new NamespaceLifecycle(registry, namespaceResource).run();
  const collection = new GarbageCollector(registry, ownUser).run();
  return {
    handle: (req, res, peer) => handler.handle(req, res, peer),
    client: (user) => new InProcessClient(registry, user),
    access: {
      authenticate: (credentials) => authenticate(authenticators, credentials),
      authorizer: access.authorizer,
    },
    health,
    metrics,
    drain: async (delayMs = 0) => {
      draining.abort('draining');
      if (delayMs > 0) await clock.sleep(delayMs, closing.signal);
      const idle = new AbortController();
      await Promise.race([handler.drain(), clock.sleep(drainMs, idle.signal)]);
      idle.abort('idle');
    },
    close: async () => {
      closing.abort();
      stopProcessMetrics();
      await lifecycle;
      await collection;
      await access.stopped();
      await registry.quotas?.stopped();
      await registry.cache.stopped();
    },
  };
}

/** How long a cache that is being filled is waited for. */
const cacheWaitMs = 4_000;

function watchHealthOf({ cache, metrics }: Registry, health: Health, access: AccessControl): void {
  health.add({
    name: 'rbac-sync',
    check: () => {
      if (!access.isReady) throw new Error('roles and bindings are not read yet');
    },
  });
  health.add({
    name: 'watch-cache-sync',
    check: async () => {
      const filled = await Promise.all(
        cache.started.map(async (one) => ((await one.reach(0, cacheWaitMs)) ? undefined : one.resource.name)),
      );
      const missing = filled.filter((name) => name !== undefined);
      if (missing.length > 0) throw new Error(`not read yet: ${missing.join(', ')}`);
    },
  });
  metrics.registry.read(
    {
      name: 'apiserver_resource_objects',
      help: 'Objects of each kind that is in the watch cache.',
      type: 'gauge',
      labelNames: ['group', 'resource'],
    },
    () =>
      cache.started
        .filter((one) => one.isReady)
        .map((one) => [[one.resource.ref.group, one.resource.ref.plural], one.size] as const),
  );
}

async function makeDefaultNamespace(client: ObjectClient): Promise<void> {
  if (await client.find(namespaces, { name: defaultNamespace })) return;
  try {
    await client.create(namespaces, {
      apiVersion: 'v1',
      kind: 'Namespace',
      metadata: { name: defaultNamespace },
    });
  } catch (error) {
    // Another replica was faster.
    if (!isAlreadyExists(error)) throw error;
  }
}
