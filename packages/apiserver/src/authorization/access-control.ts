import { clusterRoles, type ObjectClient } from '@selvedge/api';
import type { Registry } from '../registry/registry.ts';
import type { ResourceCatalog } from '../registry/resource-catalog.ts';
import { administratorsAuthorizer } from './administrators.ts';
import { RoleAggregation } from './aggregate-roles.ts';
import type { Authorizer } from './authorizer.ts';
import { type DefaultAccess, kubernetesDefaults } from './default-roles.ts';
import { RbacAuthorizer } from './rbac-authorizer.ts';
import { reconcileDefaults } from './reconcile-defaults.ts';

export interface AccessOptions {
  readonly registry: Pick<Registry, 'store' | 'clock' | 'logger' | 'closing'>;
  /** Of the server itself. */
  readonly client: ObjectClient;
  /** Beside those of Kubernetes. */
  readonly defaultAccess: Partial<DefaultAccess>;
}

/** Who may do what: by the RBAC kinds where they are served, else only the members of `system:masters` may anything. */
export class AccessControl {
  readonly authorizer: Authorizer;
  readonly #rbac: RbacAuthorizer | undefined;
  #background: Promise<unknown> = Promise.resolve();

  constructor(catalog: ResourceCatalog) {
    this.#rbac = catalog.find(clusterRoles) && new RbacAuthorizer();
    this.authorizer = this.#rbac ?? administratorsAuthorizer;
  }

  /** Whether it decides by everything that is stored. */
  get isReady(): boolean {
    return this.#rbac?.isFilled ?? true;
  }

  /**
   * Makes the default roles, reads what is stored and follows it until the server closes. Resolves when decisions can
   * be relied on.
   */
  async start({ registry, client, defaultAccess }: AccessOptions): Promise<void> {
    const rbac = this.#rbac;
    if (!rbac) return;
    const { clusterRoles: ownRoles = [], clusterRoleBindings: ownBindings = [] } = defaultAccess;
    await reconcileDefaults(client, {
      clusterRoles: [...kubernetesDefaults.clusterRoles, ...ownRoles],
      clusterRoleBindings: [...kubernetesDefaults.clusterRoleBindings, ...ownBindings],
    });
    const { clock, closing } = registry;
    const logger = registry.logger.child({ component: 'access-control' });
    const aggregation = new RoleAggregation({
      client,
      clusterRoles: () => rbac.clusterRoles,
      clock,
      logger,
      closing,
    });
    const following = rbac.follow({ ...registry, logger }, () => aggregation.wake());
    await rbac.filled;
    await aggregation.runOnce();
    this.#background = Promise.all([following, aggregation.run()]);
  }

  /** Resolves when the server has closed and nothing of this runs any more. */
  async stopped(): Promise<void> {
    await this.#background;
  }
}
