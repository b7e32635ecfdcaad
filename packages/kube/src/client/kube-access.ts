/** Where a Kubernetes API is and how to show who we are there. Certificates and keys as PEM. */
export interface KubeAccess {
  /** `https://host:port`, perhaps with a path; without a final slash. */
  readonly server: string;
  /** Read it for each new connection, after `authorization`: an exec plugin may renew the client certificate. */
  readonly tls: KubeTls;
  /**
   * Value of the `Authorization` header, asked before each request: tokens in files and of exec plugins change. Undefined: a client certificate, or
   * nobody. Throws StatusError when it cannot be had.
   */
  authorization(signal?: AbortSignal): Promise<string | undefined>;
  /** The API answered 401: what is remembered of credentials is no longer good. */
  refused(): void;
}

export interface KubeTls {
  readonly ca?: string;
  readonly cert?: string;
  readonly key?: string;
  readonly serverName?: string;
  readonly insecureSkipVerify?: boolean;
}
