/** What a cluster can do that the other one cannot. */
export interface ClusterAbilities {
  readonly customResourceDefinitions: boolean;
  readonly admissionWebhooks: boolean;
  /** Validates the built-in kinds as Kubernetes does, and fills in their defaults. */
  readonly builtInValidation: boolean;
  /** Collects dependents of deleted owners and empties namespaces that are deleted; else `SimulatedWorkloads` does. */
  readonly collectsGarbage: boolean;
}

export interface ClusterUser {
  readonly name: string;
  readonly groups?: readonly string[];
}

/** A bearer token, or a client certificate (PEM). */
export type ClusterCredential = { readonly token: string } | { readonly cert: string; readonly key: string };

/** What each kind of cluster has to bring; on loopback, with its data in a folder that it is given. */
export interface ClusterServer {
  readonly abilities: ClusterAbilities;
  /** Stays the same over restarts. */
  readonly url: string;
  /** PEM that the server's certificate is trusted by; after the first start. */
  readonly ca: string;
  /** Of somebody in system:masters. */
  readonly administrator: { readonly token: string };
  /** Of anybody, without asking whether there is such a user. */
  credentialFor(user: ClusterUser): Promise<ClusterCredential>;
  start(): Promise<void>;
  /** The API server ends; what it has stored stays. */
  stop(): Promise<void>;
  /** Everything else ends, too. */
  close(): Promise<void>;
}
