import { mkdtemp } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Delivery, KubeObject } from '@selvedge/api';
import { deliveries } from '@selvedge/api';
import type { HubNetwork } from '../../quickstart/lab/hub-program.ts';
import { Lab } from '../../quickstart/lab/lab.ts';
import { poll } from '../../quickstart/lab/poll.ts';

/** Tools that a lab needs, for `requireTool`. */
export const labTools = ['podman', 'kubectl', 'docker-registry'] as const;

/** A lab in a temporary folder, with image registry and hub started. */
export async function startTestLab(
  siteNames: readonly string[],
  options: { hubNetwork?: HubNetwork } = {},
): Promise<{ lab: Lab; image: string }> {
  const folder = await mkdtemp(join(tmpdir(), 'svg-e2e-'));
  const lab = await Lab.open({ folder, siteNames, syncWait: '5s', logLevel: 'debug', ...options });
  try {
    await lab.registry.start();
    const image = await lab.publishPageImage();
    await lab.startHub();
    return { lab, image };
  } catch (error) {
    await lab.close({ keepData: false });
    throw error;
  }
}

/** Makes the site, starts its agent, and waits until the hub hears from it. */
export async function joinSite(
  lab: Lab,
  name: string,
  variables: Record<string, string | number>,
): Promise<void> {
  await applyObjects(lab, [siteObject(name, variables)]);
  await lab.startAgent(name);
  await poll(
    async () => {
      const site = JSON.parse(await lab.kubectl.run('get', 'site', name, '-o', 'json')) as {
        status?: { connectivity?: string };
      };
      return site.status?.connectivity === 'Connected' ? true : undefined;
    },
    { seconds: 60, what: `${name} is connected`, why: () => lab.site(name).agentLog() },
  );
  await lab.noteEnrolled(name);
}

export function siteObject(name: string, variables: Record<string, string | number>): KubeObject {
  return {
    apiVersion: 'selvedge.dev/v1alpha1',
    kind: 'Site',
    metadata: { name },
    spec: { variables },
  } as KubeObject;
}

/** With kubectl, as a person would. */
export async function applyObjects(lab: Lab, objects: readonly KubeObject[]): Promise<void> {
  await lab.kubectl.apply(JSON.stringify({ apiVersion: 'v1', kind: 'List', items: objects }));
}

export interface ApplicationParts {
  name: string;
  /** Of the one Deployment; `containers` gets `container`. */
  container: Record<string, unknown>;
  deployment?: Record<string, unknown>;
  /** Published port of a Service; none without it. */
  port?: number | string;
  strategy?: Record<string, unknown>;
}

/** An Application in namespace `test` for every site: one Deployment and, with a port, one Service. */
export function applicationObject(parts: ApplicationParts): KubeObject {
  const { name, container, deployment, port, strategy } = parts;
  const labels = { app: name };
  const manifests: unknown[] = [
    {
      apiVersion: 'apps/v1',
      kind: 'Deployment',
      metadata: { name },
      spec: {
        replicas: 1,
        selector: { matchLabels: labels },
        template: {
          metadata: { labels },
          spec: { terminationGracePeriodSeconds: 1, containers: [{ name: 'main', ...container }] },
        },
        ...deployment,
      },
    },
  ];
  if (port !== undefined) {
    manifests.push({
      apiVersion: 'v1',
      kind: 'Service',
      metadata: { name },
      spec: { type: 'LoadBalancer', selector: labels, ports: [{ port, targetPort: 8080 }] },
    });
  }
  return {
    apiVersion: 'selvedge.dev/v1alpha1',
    kind: 'Application',
    metadata: { name, namespace: 'test' },
    spec: {
      placement: { siteSelector: {} },
      // What fails stays to be looked at.
      rollout: { waves: [{ name: 'all', percent: 100 }], onBreach: 'Pause', ...strategy },
      source: { inline: { manifests } },
    },
  } as KubeObject;
}

/** Container of the page, with what it shows. */
export function pageContainer(image: string, edition: string): Record<string, unknown> {
  return {
    image,
    env: [
      { name: 'SITE', value: '${site.name}' },
      { name: 'RELEASE', value: '${release.name}' },
      { name: 'GREETING', value: 'hello' },
      { name: 'EDITION', value: edition },
    ],
    readinessProbe: { httpGet: { path: '/site.json', port: 8080 }, periodSeconds: 1 },
  };
}

export async function findDelivery(
  lab: Lab,
  application: string,
  site: string,
): Promise<Delivery | undefined> {
  return await lab.client.find<Delivery>(deliveries, { namespace: 'test', name: `${application}.${site}` });
}

/** Until the delivery is as wanted; on time-out the message holds what a person would look at. */
export function waitDelivery(
  lab: Lab,
  which: { application: string; site: string },
  isWanted: (delivery: Delivery) => boolean,
): Promise<Delivery> {
  const { application, site } = which;
  return poll(
    async () => {
      const delivery = await findDelivery(lab, application, site);
      return delivery !== undefined && isWanted(delivery) ? delivery : undefined;
    },
    {
      seconds: 120,
      what: `delivery of ${application} at ${site} as wanted`,
      why: async () => {
        const delivery = JSON.stringify(await findDelivery(lab, application, site), undefined, 2);
        return `${delivery}\nagent:\n${await lab.site(site).agentLog(40)}\n${await lab.hub.lastLines()}`;
      },
    },
  );
}
