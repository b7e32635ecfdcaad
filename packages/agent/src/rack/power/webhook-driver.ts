import { bootModes, isObject, type JsonObject, powerStates, type PowerState } from '@selvedge/api';
import { BmcHttp } from './bmc-http.ts';
import { loginKey } from './login-key.ts';
import {
  type BmcIdentity,
  type BootSetting,
  LoginRefused,
  offPauseMs,
  type PowerAbilities,
  type PowerAction,
  type PowerDriver,
  PowerError,
  type PowerOptions,
} from './power-driver.ts';
import type { PowerQueue, PowerQueues } from './power-queues.ts';

/**
 * Asks a program of the user's own: a smart plug, a switch that powers over Ethernet, a hypervisor. JSON over HTTP, with a bearer token when there is one:
 *
 * - `GET  <address>/power` → `{"power": "On" | "Off" | "Unknown", "uuid"?, "serial"?}`
 * - `POST <address>/power` `{"action": "On" | "Off" | "GracefulOff" | "Cycle", "macAddresses": […]}` → 2xx
 * - `POST <address>/boot` `{"target": "Network" | "HTTP" | "Disk", "mode"?, "isOnce", "macAddresses": […]}` → the same as it is set now
 *
 * 404, 405 and 501 say that it cannot do that.
 */
export class WebhookDriver implements PowerDriver {
  readonly abilities: PowerAbilities = { readsState: true, turnsOn: true, turnsOff: true, setsBoot: true };
  readonly #options: PowerOptions;
  readonly #base: URL;
  readonly #queue: PowerQueue;
  readonly #http: BmcHttp;

  /** @param timeoutMs for one call. Throws PowerError Invalid. */
  constructor(options: PowerOptions, queues: PowerQueues, timeoutMs?: number) {
    const url = URL.parse(options.bmc.address ?? '');
    if (!url || !['http:', 'https:'].includes(url.protocol) || url.username !== '') {
      throw new PowerError(
        'Invalid',
        'spec.bmc.address of type Webhook is an https:// address without a login',
        {
          isPassing: false,
        },
      );
    }
    this.#options = options;
    this.#base = url;
    this.#queue = queues.of(url.origin);
    this.#http = new BmcHttp(options.bmc, options.hosts, timeoutMs);
  }

  async state(signal: AbortSignal): Promise<PowerState> {
    const { power } = await this.#call('GET', 'power', { signal });
    const state = powerStates.find((name) => name === power);
    if (state === undefined) throw notOurs(`${this.#base.host} answered without "power": On, Off or Unknown`);
    return state;
  }

  async turn(action: PowerAction, signal: AbortSignal): Promise<void> {
    if (action !== 'ForcedCycle') return this.#send(action, signal);
    try {
      await this.#send('Off', signal);
    } catch (error) {
      if (!(error instanceof PowerError) || error.reason !== 'Unsupported') throw error;
      return this.#send('Cycle', signal);
    }
    await this.#options.clock.sleep(offPauseMs, signal);
    signal.throwIfAborted();
    await this.#send('On', signal);
  }

  async #send(action: PowerAction, signal: AbortSignal): Promise<void> {
    const { macAddresses } = this.#options;
    await this.#call('POST', 'power', { signal, body: { action, macAddresses } });
  }

  async setBoot(setting: BootSetting, signal: AbortSignal): Promise<BootSetting> {
    const { macAddresses } = this.#options;
    const read = await this.#call('POST', 'boot', { signal, body: { ...setting, macAddresses } });
    const mode = bootModes.find((name) => name === read['mode']);
    if (read['target'] !== setting.target) {
      throw new PowerError(
        'NotHonoured',
        `${this.#base.host} says yes and does not name ${setting.target} as target`,
        {
          isPassing: true,
        },
      );
    }
    return {
      target: setting.target,
      isOnce: read['isOnce'] === true,
      ...(mode === undefined ? {} : { mode }),
    };
  }

  async identify(signal: AbortSignal): Promise<BmcIdentity> {
    const { uuid, serial } = await this.#call('GET', 'power', { signal });
    return {
      ...(typeof uuid === 'string' ? { uuid: uuid.toLowerCase() } : {}),
      ...(typeof serial === 'string' ? { serial } : {}),
      quirks: [],
    };
  }

  async close(): Promise<void> {
    this.#http.close();
  }

  #call(
    method: 'GET' | 'POST',
    path: string,
    { signal, body }: { signal: AbortSignal; body?: object },
  ): Promise<JsonObject> {
    const { login } = this.#options;
    const url = new URL(this.#base);
    url.pathname = `${url.pathname.replace(/\/+$/, '')}/${path}`;
    const headers = login.token === undefined ? {} : { authorization: `Bearer ${login.token}` };
    return this.#queue.visit({ login: loginKey(login), signal }, async () => {
      const answer = await this.#queue.call(signal, () =>
        this.#http.request({ method, url, headers, signal, ...(body ? { body } : {}) }),
      );
      this.#http.close();
      if (answer.status >= 200 && answer.status < 300) {
        if (!answer.isJson) throw notOurs(`${url.host} answers without JSON at ${url.pathname}`);
        return isObject(answer.body) ? answer.body : {};
      }
      throw refused(answer.status, url);
    });
  }
}

function refused(status: number, url: URL): PowerError {
  const what = `${url.host} answered ${status} at ${url.pathname}`;
  if (status === 401) return new LoginRefused(`${what}: see the token in the Secret of spec.bmc.secretRef`);
  if (status === 403)
    return new PowerError('Unauthorized', `${what}: see the token in the Secret of spec.bmc.secretRef`, {
      isPassing: false,
    });
  if ([404, 405, 501].includes(status))
    return new PowerError('Unsupported', `${what}: it cannot do that`, { isPassing: false });
  const isBusy = status === 409 || status === 429 || status >= 500;
  return new PowerError(isBusy ? 'Busy' : 'Invalid', what, { isPassing: isBusy });
}

function notOurs(message: string): PowerError {
  return new PowerError('Unavailable', message, { isPassing: true });
}
