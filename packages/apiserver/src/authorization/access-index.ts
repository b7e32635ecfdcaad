import type { PolicyRule, RoleBinding, RoleRef, Subject } from '@selvedge/api';
import type { UserInfo } from '../authentication/user-info.ts';
import { allowedAsAdministrator, denied, fullAuthority, isAdministrator } from './administrators.ts';
import type { Attributes, Authorizer, Decision } from './authorizer.ts';
import { ruleAllows } from './policy-rule.ts';

/**
 * The roles that a subject was given, each with the bindings that give it and what is answered because of them: a role
 * that is bound twice is looked at once, and stays when one of the bindings goes.
 */
type Grants = Map<string, Map<string, Decision>>;

interface Held {
  /** By ClusterRoleBindings. */
  readonly everywhere: Grants;
  /** By RoleBindings, for each namespace. */
  readonly inNamespace: Map<string, Grants>;
}

/**
 * Roles and bindings in memory, by the subject that has them: what a decision costs depends on what the user was
 * given, not on how many bindings there are. Service accounts are users here: `system:serviceaccount:NAMESPACE:NAME`.
 */
export class AccessIndex implements Authorizer {
  readonly #rules = new Map<string, readonly PolicyRule[]>();
  readonly #bindings = new Map<string, RoleBinding>();
  readonly #held = new Map<string, Held>();

  decide(user: UserInfo, attributes: Attributes): Decision {
    if (isAdministrator(user)) return allowedAsAdministrator;
    const namespace = 'path' in attributes ? undefined : attributes.namespace;
    for (const grants of this.#grantsOf(user, namespace)) {
      for (const [roleKey, bindings] of grants) {
        const rules = this.#rules.get(roleKey);
        if (!rules?.some((rule) => ruleAllows(rule, attributes))) continue;
        for (const allowed of bindings.values()) return allowed;
      }
    }
    return denied;
  }

  rulesOf(user: UserInfo, namespace: string | undefined): readonly PolicyRule[] {
    if (isAdministrator(user)) return fullAuthority;
    const roleKeys = this.#grantsOf(user, namespace).flatMap((grants) => [...grants.keys()]);
    return [...new Set(roleKeys)].flatMap((key) => this.#rules.get(key) ?? []);
  }

  /** `namespace` is '' for a ClusterRole. */
  putRole(namespace: string, name: string, rules: readonly PolicyRule[] = []): void {
    this.#rules.set(roleKeyOf(namespace, name), rules);
  }

  removeRole(namespace: string, name: string): void {
    this.#rules.delete(roleKeyOf(namespace, name));
  }

  /** Without a namespace in its metadata it is a ClusterRoleBinding. */
  putBinding(binding: RoleBinding): void {
    const { namespace = '', name } = binding.metadata;
    const key = roleKeyOf(namespace, name);
    this.removeBinding(namespace, name);
    this.#bindings.set(key, binding);
    const roleKey = roleKeyOfRef(binding.roleRef, namespace);
    for (const subject of binding.subjects ?? []) {
      const allowed = { allowed: true, reason: reasonOf(binding, subject) };
      const grants = this.#grantsTo(subjectKeyOf(subject, namespace), namespace);
      const bindings = grants.get(roleKey) ?? new Map<string, Decision>();
      grants.set(roleKey, bindings.set(key, allowed));
    }
  }

  removeBinding(namespace: string, name: string): void {
    const key = roleKeyOf(namespace, name);
    const binding = this.#bindings.get(key);
    if (!binding) return;
    this.#bindings.delete(key);
    const roleKey = roleKeyOfRef(binding.roleRef, namespace);
    for (const subject of binding.subjects ?? []) {
      this.#forgetGrant(subjectKeyOf(subject, namespace), { namespace, roleKey, key });
    }
  }

  #grantsOf({ name, groups }: UserInfo, namespace: string | undefined): Grants[] {
    const grants: Grants[] = [];
    const add = (held: Held | undefined) => {
      if (!held) return;
      if (held.everywhere.size > 0) grants.push(held.everywhere);
      const local = namespace ? held.inNamespace.get(namespace) : undefined;
      if (local) grants.push(local);
    };
    add(this.#held.get(userKey(name)));
    for (const group of groups) add(this.#held.get(groupKey(group)));
    return grants;
  }

  #grantsTo(subjectKey: string, namespace: string): Grants {
    let held = this.#held.get(subjectKey);
    if (!held) {
      held = { everywhere: new Map(), inNamespace: new Map() };
      this.#held.set(subjectKey, held);
    }
    if (namespace === '') return held.everywhere;
    const local: Grants = held.inNamespace.get(namespace) ?? new Map();
    held.inNamespace.set(namespace, local);
    return local;
  }

  #forgetGrant(
    subjectKey: string,
    { namespace, roleKey, key }: { namespace: string; roleKey: string; key: string },
  ): void {
    const held = this.#held.get(subjectKey);
    const grants = namespace === '' ? held?.everywhere : held?.inNamespace.get(namespace);
    const bindings = grants?.get(roleKey);
    if (!held || !grants || !bindings) return;
    bindings.delete(key);
    if (bindings.size === 0) grants.delete(roleKey);
    if (grants.size === 0) held.inNamespace.delete(namespace);
    if (held.everywhere.size === 0 && held.inNamespace.size === 0) this.#held.delete(subjectKey);
  }
}

const roleKeyOf = (namespace: string, name: string) => `${namespace}/${name}`;
const roleKeyOfRef = ({ kind, name }: RoleRef, bindingNamespace: string) =>
  roleKeyOf(kind === 'Role' ? bindingNamespace : '', name);
const userKey = (name: string) => `u/${name}`;
const groupKey = (name: string) => `g/${name}`;

function subjectKeyOf({ kind, name, namespace }: Subject, bindingNamespace: string): string {
  if (kind === 'Group') return groupKey(name);
  if (kind === 'User') return userKey(name);
  return userKey(`system:serviceaccount:${namespace ?? bindingNamespace}:${name}`);
}

/** As Kubernetes words it. */
function reasonOf({ kind, metadata, roleRef }: RoleBinding, subject: Subject): string {
  const { name, namespace } = metadata;
  const binding = namespace ? `${name}/${namespace}` : name;
  const account = `${subject.name}/${subject.namespace ?? namespace ?? ''}`;
  const to = subject.kind === 'ServiceAccount' ? account : subject.name;
  return `RBAC: allowed by ${kind} "${binding}" of ${describeRef(roleRef)} to ${subject.kind} "${to}"`;
}

const describeRef = ({ kind, name }: RoleRef) => `${kind} "${name}"`;
