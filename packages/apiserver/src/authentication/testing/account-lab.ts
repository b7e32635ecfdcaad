import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { TestContext } from 'node:test';
import type { KubeObject } from '@selvedge/api';
import { createLogger } from '@selvedge/api/node';
import { openSqliteStore, type Store } from '@selvedge/store';
import { FakeClock } from '@selvedge/testkit';
import { ServiceAccountAuthenticator } from '../service-account/service-account-authenticator.ts';
import {
  generateSigningKeyPem,
  parseSigningKeys,
  type SigningKeys,
} from '../service-account/signing-keys.ts';
import { signLastingToken } from '../service-account/sign-token.ts';
import { tokenRequestAction } from '../service-account/token-request.ts';

const context = {
  user: { name: 'admin', groups: ['system:masters'] },
  authorizer: { decide: () => ({ allowed: true, reason: '' }), rulesOf: () => [] },
  dryRun: false,
};

/** Service accounts in a true store, with issuer and authenticator as a hub wires them. */
export class AccountLab {
  readonly clock = new FakeClock('2026-03-01T00:00:00.000Z');
  readonly issuers = ['https://hub.example:6480'];
  readonly store: Store;
  keyFile = generateSigningKeyPem();
  readonly authenticator: ServiceAccountAuthenticator;
  /** How often the store was asked. */
  lookUps = 0;
  readonly #options;

  private constructor(store: Store) {
    this.store = store;
    this.#options = {
      store: {
        find: (key: Parameters<Store['objects']['find']>[0]) => {
          this.lookUps += 1;
          return store.objects.find(key);
        },
      },
      keys: () => this.keys,
      issuers: () => this.issuers,
      clock: this.clock,
    };
    this.authenticator = new ServiceAccountAuthenticator(this.#options);
  }

  static async start(t: TestContext): Promise<AccountLab> {
    const directory = mkdtempSync(join(tmpdir(), 'selvedge-accounts-'));
    const clock = new FakeClock();
    const logger = createLogger({ level: 'silent' });
    const store = await openSqliteStore({ path: join(directory, 'store.db'), clock, logger });
    t.after(async () => {
      await store.close();
      rmSync(directory, { recursive: true });
    });
    return new AccountLab(store);
  }

  get keys(): SigningKeys {
    return parseSigningKeys(this.keyFile);
  }

  /** Stores an object as the registry would. */
  async make(resource: 'serviceaccounts' | 'secrets', name: string, uid: string): Promise<KubeObject> {
    const kind = resource === 'secrets' ? 'Secret' : 'ServiceAccount';
    const object = { apiVersion: 'v1', kind, metadata: { name, namespace: 'shop', uid } };
    await this.store.objects.create({ resource, namespace: 'shop', name }, JSON.stringify(object));
    return object;
  }

  async remove(resource: 'serviceaccounts' | 'secrets', name: string): Promise<void> {
    const key = { resource, namespace: 'shop', name };
    const found = await this.store.objects.find(key);
    if (found) await this.store.objects.delete(key, found.revision);
  }

  request(account: KubeObject, spec: unknown, dryRun = false): Promise<KubeObject> {
    const body = { apiVersion: 'authentication.k8s.io/v1', kind: 'TokenRequest', spec };
    return this.send(account, body, dryRun);
  }

  send(account: KubeObject, body: unknown, dryRun = false): Promise<KubeObject> {
    return tokenRequestAction(this.#options).invoke(account, body, { ...context, dryRun });
  }

  lastingToken(account: KubeObject, secret: { name: string; uid: string }): Promise<string> {
    return signLastingToken(this.#options, { account, secret });
  }

  async token(account: KubeObject, spec: unknown = {}): Promise<string> {
    return ((await this.request(account, spec))['status'] as { token: string }).token;
  }
}
