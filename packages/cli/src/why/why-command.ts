import {
  type Application,
  type ApplicationRender,
  applications,
  type Delivery,
  deliveries,
  type Event as KubeEvent,
  events,
  isStatusError,
  type Release,
  type ResourceRef,
  type Rollout,
  releases,
  rollouts,
  type Site,
  sites,
} from '@selvedge/api';
import { type HttpClient, resourcePath } from '@selvedge/kube';
import { type ConnectOptions, connect } from '../program/connect.ts';
import { exitCode } from '../program/exit-code.ts';
import { type Command, formatDocument, type OutputFormat } from '../program/terminal.ts';
import { explainDelivery, type WhyInput } from './explain-delivery.ts';
import { renderWhy } from './render-why.ts';
import { needsDiffer } from './why-facts.ts';

export interface WhyOptions extends ConnectOptions {
  readonly site: string;
  readonly application: string;
  readonly output: OutputFormat;
  readonly namespace?: string;
}

export const whyCommand: Command<WhyOptions> = async (options, ctx) => {
  await using hub = await connect(options, ctx.process);
  const namespace = options.namespace ?? hub.namespace ?? 'default';
  const known = await readKnowledge(hub.client, { ...options, namespace });
  const report = explainDelivery({ ...known, now: ctx.process.clock.now() });
  ctx.print(
    options.output === 'table' ? renderWhy(report, ctx.paint) : await formatDocument(options.output, report),
  );
  return report.isTrouble ? exitCode.trouble : exitCode.ok;
};

type Knowledge = Omit<WhyInput, 'now'>;

async function readKnowledge(
  client: HttpClient,
  asked: { site: string; application: string; namespace: string },
): Promise<Knowledge> {
  const { namespace } = asked;
  const [site, application, delivery] = await Promise.all([
    client.find<Site>(sites, { name: asked.site }),
    client.find<Application>(applications, { namespace, name: asked.application }),
    client.find<Delivery>(deliveries, { namespace, name: `${asked.application}.${asked.site}` }),
  ]);
  const { release: releaseName, rollout: rolloutName } = application?.status ?? {};
  const [release, rollout, knownSites, knownApplications] = await Promise.all([
    releaseName ? client.find<Release>(releases, { namespace, name: releaseName }) : undefined,
    rolloutName ? client.find<Rollout>(rollouts, { namespace, name: rolloutName }) : undefined,
    site ? [] : names(client, sites),
    application ? [] : names(client, applications),
  ]);
  return {
    siteName: asked.site,
    applicationName: asked.application,
    namespace,
    ...(site ? { site } : {}),
    ...(application ? { application } : {}),
    ...(release ? { release } : {}),
    ...(rollout ? { rollout } : {}),
    ...(delivery ? { delivery } : {}),
    ...(site && release && needsDiffer(release) ? await readFaults(client, asked) : {}),
    localActs: site && application ? await readLocalActs(client, { ...asked, application }) : [],
    knownSites,
    knownApplications,
  };
}

/** Events of the application that the site's agent told of. Whoever may not read Events is told without. */
async function readLocalActs(
  client: HttpClient,
  asked: { site: string; namespace: string; application: Application },
): Promise<{ time: string; message: string }[]> {
  const { name, uid } = asked.application.metadata;
  const fieldSelector = `involvedObject.name=${name},involvedObject.uid=${uid ?? ''}`;
  try {
    const { items } = await client.list<KubeEvent>(events, { namespace: asked.namespace, fieldSelector });
    return items
      .filter(
        (event) =>
          event.reportingComponent === 'selvedge.dev/agent' && event.reportingInstance === asked.site,
      )
      .map(({ firstTimestamp = '', message = '' }) => ({
        time: firstTimestamp,
        message: message.replace(`${asked.site}: `, ''),
      }))
      .sort((a, b) => (a.time < b.time ? 1 : -1));
  } catch (error) {
    if (isStatusError(error, 'Forbidden')) return [];
    throw error;
  }
}

/** What only the hub can say. Whoever may not ask is told without. */
async function readFaults(
  client: HttpClient,
  { site, namespace, application: name }: { site: string; namespace: string; application: string },
): Promise<Pick<Knowledge, 'faults'>> {
  try {
    const { status } = await client.request<ApplicationRender>({
      method: 'POST',
      path: resourcePath(applications, { namespace, name, subresource: 'render' }),
      body: { spec: { site } },
    });
    return status.faults ? { faults: status.faults } : {};
  } catch (error) {
    if (isStatusError(error, 'Forbidden') || isStatusError(error, 'BadRequest')) return {};
    throw error;
  }
}

async function names(client: HttpClient, resource: ResourceRef): Promise<string[]> {
  const { items } = await client.list(resource);
  return items.map(({ metadata: { namespace, name } }) => (namespace ? `${namespace}/${name}` : name));
}
