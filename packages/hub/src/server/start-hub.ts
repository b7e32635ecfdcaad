import { join } from 'node:path';
import type { ObjectClient } from '@selvedge/api';
import { createApiServer, startHttpsServer } from '@selvedge/apiserver';
import { type FleetStore, openSqliteStore } from '@selvedge/store';
import { startControllers } from '../controllers/index.ts';
import { tokenIssuer } from '../gateway/enrollment-token-text.ts';
import { startGateway } from '../gateway/gateway.ts';
import { lockDataDirectory } from '../identity/data-lock.ts';
import { openHubIdentity } from '../identity/hub-identity.ts';
import { openPrivateDirectory } from '../identity/private-file.ts';
import { hubResourceDefinitions, sensitiveResources } from '../resources/index.ts';
import {
  certificateNames,
  type HubOptions,
  hubUrls,
  localUrl,
  type ResolvedHubOptions,
  resolveHubOptions,
} from './hub-options.ts';
import { listenError } from './listen-error.ts';
import { renewPeriodically } from './renew-periodically.ts';

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

  const store = await openSqliteStore({
    path: join(dataDirectory, 'store.db'),
    key: identity.storeKey,
    sensitiveResources,
    clock,
    logger,
  });
  started.defer(() => store.close());
  const { fleet } = store;

  // Known only when the listener has its port, asked for only later.
  let advertised: readonly string[] = [];
  const definitions = hubResourceDefinitions({
    fleet,
    objects: store.objects,
    clock,
    connectedWithinSeconds,
    issueEnrollmentToken: tokenIssuer({ identity, clock, hubUrls: () => advertised }),
  });
  const api = await createApiServer({ definitions, store: store.objects, clock, logger });
  started.defer(() => api.close());

  const stopControllers = new AbortController();
  const controllers = startControllers({
    client: api.client(controllersUser),
    fleet,
    clock,
    logger,
    connectedWithinSeconds,
    signal: stopControllers.signal,
  });
  started.defer(() => {
    stopControllers.abort();
    return controllers.stopped;
  });

  const gateway = await startGateway({
    client: api.client(gatewayUser),
    fleet,
    identity,
    clock,
    logger,
    random,
    syncWaitSeconds: options.syncWaitSeconds,
    maxInWork: options.maxInWork,
  });
  started.defer(() => gateway.close());

  const names = certificateNames(options);
  const { key, certificate } = await identity.serverCertificate(names);
  const { host, port } = options;
  const listener = await startHttpsServer({
    host,
    port,
    tls: { key, cert: certificate, clientCa: identity.caCertificate },
    handle: (req, res, peer) =>
      gateway.owns(req.url ?? '/')
        ? gateway.handle(req, res)
        : api.handle(req, res, peer.user ? { certificateUser: peer.user } : {}),
    logger,
  }).catch((error: unknown) => {
    throw listenError(error, options);
  });
  started.defer(() => listener.close());
  // Long-polls are answered while their connections still live.
  started.defer(() => gateway.drain());

  const stopRenewal = new AbortController();
  const renewal = renewPeriodically({
    identity,
    names,
    listener,
    clock,
    logger,
    random,
    signal: stopRenewal.signal,
  });
  started.defer(() => {
    stopRenewal.abort();
    return renewal;
  });

  advertised = hubUrls(options, listener.port);
  const url = localUrl(options, listener.port);
  const kubeconfigPath = await identity.writeAdminKubeconfig(url);
  return { url, port: listener.port, kubeconfigPath, client: api.client(gatewayUser), fleet };
}
