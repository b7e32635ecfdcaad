import {
  type Clock,
  isAlreadyExists,
  KeyedMutex,
  type Logger,
  namespaces,
  type ObjectClient,
} from '@selvedge/api';
import type { ObjectStore } from '@selvedge/store';
import type { UserInfo } from './authentication/user-info.ts';
import { administratorsAuthorizer } from './authorization/administrators.ts';
import { NamespaceGate } from './admission/namespace-gate.ts';
import { defaultNamespace } from './admission/namespace-object.ts';
import type { ApiRequest, ApiResponse } from './http/exchange.ts';
import { RequestHandler } from './http/request-handler.ts';
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
}

/** Served beside the resources, under one exact path. */
export interface Endpoint {
  readonly method: 'GET' | 'POST';
  readonly path: string;
  handle(req: ApiRequest, res: ApiResponse, user: UserInfo): Promise<void>;
}

export interface ApiServer {
  /** Answers one request. Never rejects. */
  handle(req: ApiRequest, res: ApiResponse, peer: Pick<Credentials, 'certificateUser'>): Promise<void>;
  /** The same API in process. */
  client(user: UserInfo): ObjectClient;
  /** Ends watches and background work; the store stays open. */
  close(): Promise<void>;
}

const ownUser: UserInfo = { name: 'system:apiserver', groups: ['system:masters'] };

/** Also makes the namespace `default`, and goes on deleting the contents of namespaces that were being deleted. */
export async function createApiServer({
  definitions,
  authenticators = [],
  store,
  clock,
  logger,
}: ApiServerOptions): Promise<ApiServer> {
  const closing = new AbortController();
  const registry: Registry = {
    catalog: new ResourceCatalog(definitions),
    store,
    namespaces: new NamespaceGate(store),
    turns: new KeyedMutex(),
    authorizer: administratorsAuthorizer,
    clock,
    logger,
    closing: closing.signal,
  };
  const handler = new RequestHandler(registry, authenticators);
  const namespaceResource = registry.catalog.find(namespaces);
  if (namespaceResource) await makeDefaultNamespace(new InProcessClient(registry, ownUser));
  const lifecycle = namespaceResource && new NamespaceLifecycle(registry, namespaceResource).run();
  return {
    handle: (req, res, peer) => handler.handle(req, res, peer),
    client: (user) => new InProcessClient(registry, user),
    close: async () => {
      closing.abort();
      await lifecycle;
    },
  };
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
