/** What the machine's Podman can do for this user. */
export interface RuntimeCapabilities {
  readonly isRootless: boolean;
  readonly canLimitCpu: boolean;
  readonly canLimitMemory: boolean;
}
