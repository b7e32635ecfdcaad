import { isStatusError, type KubeObject, type StatusError } from '@selvedge/api';
import { applicationPodSelector } from '@selvedge/api/node';
import type { HttpClient } from '@selvedge/kube';
import { CommandError } from '../program/exit-code.ts';
import { getSite } from '../site/get-site.ts';

/** An application at a site, as a command names it. */
export interface SiteApplication {
  readonly site: string;
  readonly namespace: string;
  readonly application: string;
}

/** The parts of a pod that matter here. */
export interface SitePod extends KubeObject {
  spec: { containers: { name: string }[] };
  status?: { phase?: string; conditions?: { type: string; status: string }[] };
}

/** Where the site's Kubernetes API begins at the hub. */
export const proxyPath = (site: string): string =>
  `/apis/selvedge.dev/v1alpha1/sites/${encodeURIComponent(site)}/proxy`;

/** Path of a pod at the site, below the hub. */
export function podPath(site: string, pod: SitePod): string {
  const { namespace = '', name } = pod.metadata;
  return `${proxyPath(site)}/api/v1/namespaces/${encodeURIComponent(namespace)}/pods/${encodeURIComponent(name)}`;
}

/** Pods of the application, by namespace and name; only `pod` if that is given. Throws CommandError when there are none. */
export async function getPods(
  client: HttpClient,
  target: SiteApplication,
  pod: string | undefined,
): Promise<SitePod[]> {
  const { site, namespace, application } = target;
  await getSite(client, site);
  const list = (path: string) =>
    client.request<{ items: SitePod[] }>({
      method: 'GET',
      path: `${proxyPath(site)}/api/v1/${path}`,
      query: { labelSelector: applicationPodSelector(namespace, application) },
    });
  const { items } = await askSite(site, () =>
    list('pods').catch((error: unknown) => {
      // Whoever may see one namespace only finds there what is in it, which mostly is all.
      if (!isStatusError(error, 'Forbidden')) throw error;
      return list(`namespaces/${encodeURIComponent(namespace)}/pods`);
    }),
  );
  const pods = items.sort((a, b) => (keyOf(a) < keyOf(b) ? -1 : 1));
  if (pods.length === 0) {
    throw new CommandError(
      `site ${site} has no pods of ${namespace}/${application}`,
      `selvedge why ${site} ${namespace}/${application} tells how far it is there.`,
    );
  }
  if (pod === undefined) return pods;
  const found = pods.filter((one) => one.metadata.name === pod);
  if (found.length > 0) return found;
  throw new CommandError(
    `${namespace}/${application} has no pod ${pod} at site ${site}`,
    `It has ${pods.map((one) => one.metadata.name).join(', ')}.`,
  );
}

const keyOf = ({ metadata }: SitePod) => `${metadata.namespace} ${metadata.name}`;

/** The container of that name, or the pod's only or first one. Throws CommandError. */
export function getContainer(pod: SitePod, name: string | undefined): string {
  const names = pod.spec.containers.map((container) => container.name);
  const chosen = name ?? defaultContainer(pod) ?? names[0];
  if (chosen !== undefined && names.includes(chosen)) return chosen;
  throw new CommandError(
    `pod ${pod.metadata.name} has no container ${chosen ?? ''}`,
    `It has ${names.join(', ')}.`,
  );
}

/** As kubectl: `kubectl.kubernetes.io/default-container`. */
const defaultContainer = ({ metadata }: SitePod): string | undefined =>
  metadata.annotations?.['kubectl.kubernetes.io/default-container'];

/** Asks the site through the hub, and says what to do where the answer is no. */
export async function askSite<T>(site: string, ask: () => Promise<T>): Promise<T> {
  try {
    return await ask();
  } catch (error) {
    throw siteError(site, error);
  }
}

/** What went wrong at the site, or on the way there, with what to do about it. */
export function siteError(site: string, error: unknown): unknown {
  if (!isStatusError(error)) return error;
  const hint = hintFor(site, error);
  return hint === undefined ? error : new CommandError(error.message, hint, { cause: error });
}

function hintFor(site: string, error: StatusError): string | undefined {
  // The hub's own answers name the Site or what is missing there; these say where to turn.
  if (error.reason === 'Forbidden') {
    const missing = rightOfSite.exec(error.message)?.groups;
    if (missing) return bindingHint(missing);
    return `It takes three: your right to sites/proxy at the hub, spec.link of the Site (kubectl get site ${site} -o yaml), and the site's own RBAC for selvedge:<you>.`;
  }
  // A hub that cannot be reached is told as such.
  if (error.reason === 'ServiceUnavailable' && error.cause === undefined) {
    return `selvedge site show ${site} tells when it was last heard of.`;
  }
  return undefined;
}

/** As Kubernetes says that the user's own rights are not enough. */
const rightOfSite =
  /User "selvedge:(?<user>[^"]+)" cannot \w+ resource "(?<resource>[\w./-]+)".*?(?: in the namespace "(?<namespace>[^"]+)")?$/;

function bindingHint(missing: Readonly<Record<string, string | undefined>>): string {
  const { user = '', resource = '', namespace } = missing;
  const role = /^pods\/(exec|attach|portforward)$/.test(resource) ? 'edit' : 'view';
  const kind = namespace === undefined ? 'clusterrolebinding' : 'rolebinding';
  const subject = /^[\w.:@/+-]+$/.test(user)
    ? `selvedge:${user}`
    : `'selvedge:${user.replaceAll("'", String.raw`'\''`)}'`;
  const where = namespace === undefined ? '' : ` -n ${namespace}`;
  return (
    "The hub and spec.link of the Site let you; the site's own RBAC, the third, does not. There, for example: " +
    `kubectl create ${kind} hub-${role} --clusterrole ${role} --user ${subject}${where}`
  );
}
