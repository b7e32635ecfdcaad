import type { PolicyRule } from '../kinds/access.ts';
import { type AgentInstall, defaultAgentInstall } from './agent-manifests.ts';
import { parseExtraRule, type RbacLevel, rbacLevels } from './agent-rules.ts';

/** `AgentInstall` as it is asked for, by flags or in a request; what is absent is the default. */
export interface InstallWish {
  readonly namespace?: string;
  readonly image?: string;
  readonly rbac?: string;
  /** As `parseExtraRule` takes them. */
  readonly allow?: readonly string[];
  readonly link?: boolean;
  readonly linkUsers?: readonly string[];
  readonly linkGroups?: readonly string[];
  /** Namespaces that other sites may mirror, and no other. */
  readonly mirrorNamespaces?: readonly string[];
  readonly proxy?: string;
  readonly priorityClassName?: string;
}

const dnsLabel = /^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$/;
const imageName = /^[a-zA-Z0-9][a-zA-Z0-9._/:@-]{0,254}$/;
/** Names are put into RBAC rules, and all of it into an address. */
const longestList = 50;

/** What is wished for with its defaults. Throws an Error of one line that names the wish and says what it has to be. */
export function resolveInstall(wish: InstallWish): AgentInstall {
  const { namespace, image, rbac, proxy, priorityClassName } = wish;
  check('namespace', namespace, {
    form: dnsLabel,
    rule: 'the name of a namespace: lower case letters, digits and -',
  });
  const imageRule = 'the name of a container image, as in registry.example/selvedge-agent:0.1.0';
  check('image', image, { form: imageName, rule: imageRule });
  check('priority class', priorityClassName, { form: dnsLabel, rule: 'the name of a PriorityClass' });
  if (proxy !== undefined && !/^https?:\/\/[^\s]+$/.test(proxy)) {
    throw new Error('the proxy has to be an address, as in http://proxy.example:3128');
  }
  if (rbac !== undefined && !isLevel(rbac))
    throw new Error(`rbac has to be ${rbacLevels.join(', ')}, not "${rbac}"`);
  const users = names('link user', wish.linkUsers);
  const groups = names('link group', wish.linkGroups);
  // It would be no limit: Kubernetes has user names with great rights, too.
  if (groups.length > 0 && users.length === 0) {
    throw new Error('a link group needs the link users that are in it: Kubernetes asks the agent for both');
  }
  const mirrorNamespaces = mirrored(wish.mirrorNamespaces ?? []);
  const hasLink = wish.link === true || users.length > 0;
  return {
    ...defaultAgentInstall,
    ...(namespace === undefined ? {} : { namespace }),
    ...(image === undefined ? {} : { image }),
    ...(rbac === undefined ? {} : { rbac }),
    ...(proxy === undefined ? {} : { proxy }),
    ...(priorityClassName === undefined ? {} : { priorityClassName }),
    extraRules: extraRules(wish.allow ?? []),
    ...(mirrorNamespaces.length === 0 ? {} : { mirrorNamespaces }),
    ...(hasLink ? { link: { users, groups } } : {}),
  };
}

function isLevel(text: string): text is RbacLevel {
  return (rbacLevels as readonly string[]).includes(text);
}

function check(
  what: string,
  value: string | undefined,
  { form, rule }: { form: RegExp; rule: string },
): void {
  if (value !== undefined && !form.test(value)) throw new Error(`the ${what} "${value}" has to be ${rule}`);
}

function names(what: string, list: readonly string[] = []): readonly string[] {
  if (list.length > longestList) throw new Error(`at most ${longestList} of ${what} can be named`);
  for (const name of list) check(what, name, { form: /^[^\s"]{1,100}$/, rule: 'a name without spaces' });
  return list;
}

function mirrored(list: readonly string[]): readonly string[] {
  if (list.length > longestList) throw new Error(`at most ${longestList} namespaces to mirror can be named`);
  const rule = 'the name of a namespace: lower case letters, digits and -';
  for (const name of list) check('namespace to mirror', name, { form: dnsLabel, rule });
  return list;
}

function extraRules(list: readonly string[]): PolicyRule[] {
  if (list.length > longestList) throw new Error(`at most ${longestList} more resources can be allowed`);
  return list.map((text) => {
    const rule = parseExtraRule(text);
    if (rule !== undefined) return rule;
    throw new Error(`"${text}" has to be a resource, as in configmaps or certificates.cert-manager.io`);
  });
}
