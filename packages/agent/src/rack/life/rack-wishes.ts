import {
  type BmcOrder,
  defaultWritesAtOnce,
  type MachineOrder,
  type RackImage,
  type RackNetwork,
  type RackOrder,
  type SecretValue,
  type SiteScriptOrder,
  type UserData,
} from '@selvedge/api';
import type { PowerLogin } from '../power/power-driver.ts';

/** Where values and texts come from that travel beside the order. */
export interface RackContent {
  /** In its present version, or the newest that is here. */
  findSecret(id: string): SecretValue | undefined;
  hasBlob(digest: string): boolean;
  findBlob(digest: string): Uint8Array | undefined;
}

/** What the hub wants of this rack, as last known: with the hub away too. */
export class RackWishes {
  readonly #content: RackContent;
  #order: RackOrder | undefined;
  #byUid: ReadonlyMap<string, MachineOrder> = new Map();

  constructor(content: RackContent) {
    this.#content = content;
  }

  /** Undefined: the site has no rack any more. */
  set(order: RackOrder | undefined): void {
    this.#order = order;
    this.#byUid = new Map(order?.machines.map((machine) => [machine.uid, machine]));
  }

  get discovery(): RackOrder['discovery'] {
    return this.#order?.discovery ?? 'Ignore';
  }

  get writesAtOnce(): number {
    return this.#order?.writesAtOnce ?? defaultWritesAtOnce;
  }

  get machines(): readonly MachineOrder[] {
    return this.#order?.machines ?? [];
  }

  get networks(): readonly RackNetwork[] {
    return this.#order?.networks ?? [];
  }

  get images(): readonly RackImage[] {
    return this.#order?.images ?? [];
  }

  get inspection(): RackOrder['inspection'] {
    return this.#order?.inspection ?? [];
  }

  get scripts(): readonly SiteScriptOrder[] {
    return this.#order?.scripts ?? [];
  }

  find(uid: string): MachineOrder | undefined {
    return this.#byUid.get(uid);
  }

  imageOf(order: MachineOrder | undefined): RackImage | undefined {
    const name = order?.provision?.image;
    return name === undefined ? undefined : this.images.find((image) => image.name === name);
  }

  hasScript({ digest }: SiteScriptOrder): boolean {
    return this.#content.hasBlob(digest);
  }

  scriptText(name: string): string | undefined {
    const script = this.scripts.find((one) => one.name === name);
    const bytes = script && this.#content.findBlob(script.digest);
    return bytes && Buffer.from(bytes).toString('utf8');
  }

  /** Of an order's user data: why it cannot be read yet. */
  missingSecret(order: MachineOrder | undefined): string | undefined {
    const data: UserData | undefined = order?.provision?.userData ?? this.imageOf(order)?.userData;
    if (data === undefined || 'text' in data) return undefined;
    const value = this.#content.findSecret(data.secret);
    if (value === undefined) return `${data.secret} with its user data comes from the hub`;
    if (value.data[data.key] === undefined)
      return `${data.secret} gets the key ${data.key} with its user data`;
    return undefined;
  }

  /** Throws when it is not here. */
  readSecret(id: string, key: string): string {
    const text = this.#content.findSecret(id)?.data[key];
    if (text === undefined) throw new Error(`${id} with key ${key} is not here`);
    return Buffer.from(text, 'base64').toString('utf8');
  }

  /** Of an order's BMC: why its login cannot be read yet. */
  missingLogin(order: MachineOrder | undefined): string | undefined {
    const { bmc } = order ?? {};
    if (bmc === undefined || this.loginOf(bmc) !== undefined) return undefined;
    return `${bmc.credentials ?? 'the Secret'} with the login of its BMC comes from the hub`;
  }

  /** Undefined: it has not come from the hub yet. */
  loginOf({ credentials }: BmcOrder): PowerLogin | undefined {
    if (credentials === undefined) return {};
    const data = this.#content.findSecret(credentials)?.data;
    if (data === undefined) return undefined;
    const read = (key: string) => {
      const text = data[key];
      return text === undefined ? {} : { [key]: Buffer.from(text, 'base64').toString('utf8') };
    };
    return { ...read('username'), ...read('password'), ...read('kg'), ...read('token') };
  }
}
