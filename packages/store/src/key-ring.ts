/** Keys for sealing rows at rest. What is written is sealed with the active one; any of them opens. */
export interface KeyRing {
  /** 32 bytes. */
  readonly active: Uint8Array;
  /** Older or coming keys, 32 bytes each. */
  readonly others: readonly Uint8Array[];
}
