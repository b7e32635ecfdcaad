import {
  type ClusterRole,
  clusterRoleBindings,
  clusterRoles,
  type KubeObject,
  type PolicyRule,
  type ResourceRef,
  type Role,
  type RoleBinding,
  resourceName,
  roleBindings,
  roles,
} from '@selvedge/api';
import type { UserInfo } from '../authentication/user-info.ts';
import { followResource } from '../registry/follow-resource.ts';
import type { Registry } from '../registry/registry.ts';
import { AccessIndex } from './access-index.ts';
import type { Attributes, Authorizer, Decision } from './authorizer.ts';

export type Followed = Pick<Registry, 'store' | 'clock' | 'logger' | 'closing'>;

/**
 * Authorises by the stored roles and bindings, which it keeps in memory as the store has them. Until `filled` it allows
 * too little, never too much.
 */
export class RbacAuthorizer implements Authorizer {
  /** Resolves when all roles and bindings are known. */
  readonly filled: Promise<void>;
  readonly #index = new AccessIndex();
  readonly #clusterRoles = new Map<string, ClusterRole>();
  readonly #unread = new Set<ResourceRef>([roles, clusterRoles, roleBindings, clusterRoleBindings]);
  readonly #fill = Promise.withResolvers<void>();

  constructor() {
    this.filled = this.#fill.promise;
  }

  get isFilled(): boolean {
    return this.#unread.size === 0;
  }

  decide(user: UserInfo, attributes: Attributes): Decision {
    return this.#index.decide(user, attributes);
  }

  rulesOf(user: UserInfo, namespace: string | undefined): readonly PolicyRule[] {
    return this.#index.rulesOf(user, namespace);
  }

  /** As they are stored, by name. */
  get clusterRoles(): ReadonlyMap<string, ClusterRole> {
    return this.#clusterRoles;
  }

  /** Follows the store until the server closes; `onClusterRoles` hears of each change of ClusterRoles. Never rejects. */
  async follow(registry: Followed, onClusterRoles: () => void): Promise<void> {
    const index = this.#index;
    const putBinding = (object: KubeObject) => index.putBinding(object as RoleBinding);
    const removeBinding = (namespace: string, name: string) => index.removeBinding(namespace, name);
    const putRole = (object: Role) => {
      const { namespace = '', name } = object.metadata;
      index.putRole(namespace, name, object.rules);
    };
    const removeRole = (namespace: string, name: string) => index.removeRole(namespace, name);
    const putClusterRole = (object: ClusterRole) => {
      putRole(object);
      this.#clusterRoles.set(object.metadata.name, object);
      onClusterRoles();
    };
    const removeClusterRole = (namespace: string, name: string) => {
      removeRole(namespace, name);
      this.#clusterRoles.delete(name);
      onClusterRoles();
    };
    await Promise.all([
      this.#follow(registry, { ref: roles, put: putRole, remove: removeRole }),
      this.#follow(registry, { ref: clusterRoles, put: putClusterRole, remove: removeClusterRole }),
      this.#follow(registry, { ref: roleBindings, put: putBinding, remove: removeBinding }),
      this.#follow(registry, { ref: clusterRoleBindings, put: putBinding, remove: removeBinding }),
    ]);
  }

  async #follow(registry: Followed, { ref, put, remove }: Kept): Promise<void> {
    const known = new Map<string, { namespace: string; name: string }>();
    const putKnown = (object: KubeObject) => {
      const { namespace = '', name } = object.metadata;
      known.set(`${namespace}/${name}`, { namespace, name });
      put(object);
    };
    const forget = (namespace: string, name: string) => {
      if (known.delete(`${namespace}/${name}`)) remove(namespace, name);
    };
    await followResource(registry, resourceName(ref), {
      replace: (objects) => {
        const left = new Map(known);
        for (const object of objects) {
          left.delete(`${object.metadata.namespace ?? ''}/${object.metadata.name}`);
          putKnown(object);
        }
        for (const { namespace, name } of left.values()) forget(namespace, name);
        this.#unread.delete(ref);
        if (this.isFilled) this.#fill.resolve();
      },
      put: putKnown,
      remove: ({ metadata: { namespace = '', name } }) => forget(namespace, name),
    });
  }
}

interface Kept {
  readonly ref: ResourceRef;
  readonly put: (object: KubeObject) => void;
  readonly remove: (namespace: string, name: string) => void;
}
