/** A name and a password for a registry. Never logged. */
export interface RegistryLogin {
  readonly username: string;
  readonly password: string;
  /** RFC 3339; absent: does not expire. */
  readonly expiresAt?: string;
}

/** Logins of RegistryCredentials, also of Secrets of type kubernetes.io/dockerconfigjson that they name. */
export interface RegistryLogins {
  /**
   * The login with which applications of the namespace may read a repository (`host[:port]/path`); the longest entry of
   * `spec.registries` counts. Undefined: nobody names it, so it is asked without one. Throws StatusError when there is one that
   * cannot be used now (its Secret is missing, ECR does not answer).
   */
  find(namespace: string, repository: string, signal: AbortSignal): Promise<RegistryLogin | undefined>;
  /** As `find`, with the login of one RegistryCredential that somebody named. Throws StatusError also when it is not there, or covers not this repository. */
  get(
    credential: { readonly namespace: string; readonly name: string },
    repository: string,
    signal: AbortSignal,
  ): Promise<RegistryLogin>;
}
