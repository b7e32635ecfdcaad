import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { clusterRoleBindings, clusterRoles, type ObjectClient } from '@selvedge/api';
import { createLogger } from '@selvedge/api/node';
import { type ApiServer, createApiServer } from '@selvedge/apiserver';
import { openSqliteStore } from '@selvedge/store';
import { FakeClock } from '@selvedge/testkit';
import { hubDefaultAccess, hubResourceDefinitions, sensitiveResources } from '../index.ts';

const rbac = 'rbac.authorization.k8s.io';

/** The hub's kinds and roles over a real store in a folder of its own; no controllers. */
export class ResourceLab implements AsyncDisposable {
  readonly api: ApiServer;
  readonly admin: ObjectClient;
  readonly clock: FakeClock;
  readonly #stack: AsyncDisposableStack;

  static async start(): Promise<ResourceLab> {
    const stack = new AsyncDisposableStack();
    const clock = new FakeClock();
    const logger = createLogger({ level: 'silent' });
    const directory = await mkdtemp(join(tmpdir(), 'selvedge-resources-'));
    stack.defer(() => rm(directory, { recursive: true, force: true }));
    const keys = { active: new Uint8Array(32), others: [] };
    const path = join(directory, 'store.db');
    const store = await openSqliteStore({ path, keys, sensitiveResources, clock, logger });
    stack.defer(() => store.close());
    const definitions = hubResourceDefinitions({
      fleet: store.fleet,
      objects: store.objects,
      clock,
      connectedWithinSeconds: 60,
      issueEnrollmentToken: (token) => Promise.resolve(token),
      client: () => lab.admin,
    });
    const api = await createApiServer({
      definitions,
      defaultAccess: hubDefaultAccess,
      store: store.objects,
      clock,
      logger,
    });
    stack.defer(() => api.close());
    const lab = new ResourceLab(api, clock, stack);
    return lab;
  }

  private constructor(api: ApiServer, clock: FakeClock, stack: AsyncDisposableStack) {
    this.api = api;
    this.clock = clock;
    this.admin = api.client({ name: 'root', groups: ['system:masters'] });
    this.#stack = stack;
  }

  as(name: string): ObjectClient {
    return this.api.client({ name, groups: ['system:authenticated'] });
  }

  async makeRole(name: string, rules: readonly object[]): Promise<void> {
    await this.admin.create(clusterRoles, {
      apiVersion: `${rbac}/v1`,
      kind: 'ClusterRole',
      metadata: { name },
      rules,
    } as never);
  }

  /** Everywhere. */
  async bind(user: string, role: string): Promise<void> {
    await this.admin.create(clusterRoleBindings, {
      apiVersion: `${rbac}/v1`,
      kind: 'ClusterRoleBinding',
      metadata: { name: `${user}-${role}` },
      subjects: [{ kind: 'User', apiGroup: rbac, name: user }],
      roleRef: { kind: 'ClusterRole', apiGroup: rbac, name: role },
    } as never);
  }

  defer(close: () => Promise<void>): void {
    this.#stack.defer(close);
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.#stack.disposeAsync();
  }
}
