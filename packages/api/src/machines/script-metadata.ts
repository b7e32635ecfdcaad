/** A MachineScript as the rack gets it. */
export interface SiteScriptOrder {
  readonly name: string;
  /** Digest of its text, fetched as a blob. */
  readonly digest: string;
  readonly metadata: ScriptMetadata;
}

/** What the header of a commissioning script says (`Start MAAS 1.0 script metadata`), so far as it is used here. */
export interface ScriptMetadata {
  readonly name: string;
  readonly title?: string;
  readonly description?: string;
  readonly type: 'Commissioning' | 'Testing';
  readonly hardwareType: 'Node' | 'CPU' | 'Memory' | 'Storage' | 'Network' | 'GPU';
  readonly parallel: 'Disabled' | 'Instance' | 'Any';
  readonly timeoutSeconds: number;
  readonly tags: readonly string[];
  /** Runs only where one of these is there: `modalias:…`, `pci:10de:1db6`, `usb:…`, `system_vendor:…`. */
  readonly forHardware: readonly string[];
  readonly mayReboot: boolean;
}
