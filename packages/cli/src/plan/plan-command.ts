import { type ApplicationPlan, applications, type KubeObject } from '@selvedge/api';
import { type HttpClient, resourcePath } from '@selvedge/kube';
import { type ConnectOptions, connect } from '../program/connect.ts';
import { CommandError, exitCode, UsageError } from '../program/exit-code.ts';
import { type Command, formatDocument, type OutputFormat } from '../program/terminal.ts';
import { readApplications } from './read-applications.ts';
import { needsPerson, renderPlan } from './render-plan.ts';

export interface PlanOptions extends ConnectOptions {
  readonly filename: string;
  readonly namespace?: string;
  readonly output: OutputFormat;
}

/** Asks the hub what would happen; exits 1 when something in it needs a person first. */
export const planCommand: Command<PlanOptions> = async (options, ctx) => {
  const found = await readApplications(options.filename, ctx.process);
  await using hub = await connect(options, ctx.process);
  const plans: ApplicationPlan[] = [];
  for (const application of found.applications) {
    const said = application.metadata.namespace;
    if (options.namespace !== undefined && said !== undefined && said !== options.namespace) {
      throw new UsageError(
        `${application.metadata.name} names namespace ${said}, which is not the ${options.namespace} of --namespace`,
      );
    }
    const namespace = said ?? options.namespace ?? hub.namespace ?? 'default';
    plans.push(await askForPlan(hub.client, application, namespace));
  }
  if (found.others.length > 0) ctx.hint(`Not planned, being no Applications: ${found.others.join(', ')}`);
  const now = ctx.process.clock.now();
  if (options.output === 'table')
    ctx.print(plans.map((plan) => renderPlan(plan, now, ctx.paint)).join('\n\n'));
  else {
    const list = { apiVersion: 'selvedge.dev/v1alpha1', kind: 'ApplicationPlanList', items: plans };
    ctx.print(await formatDocument(options.output, plans.length === 1 ? plans[0] : list));
  }
  return plans.some(needsPerson) ? exitCode.trouble : exitCode.ok;
};

async function askForPlan(
  client: HttpClient,
  application: KubeObject,
  namespace: string,
): Promise<ApplicationPlan> {
  const { name } = application.metadata;
  const plan = await client.request<ApplicationPlan>({
    method: 'POST',
    path: resourcePath(applications, { namespace, name, subresource: 'plan' }),
    // As kubectl apply does.
    query: { fieldValidation: 'Strict' },
    body: { ...application, metadata: { ...application.metadata, namespace } },
  });
  if (plan.kind !== 'ApplicationPlan') {
    throw new CommandError('the hub answered no plan', 'Check that hub and selvedge have one version.');
  }
  return plan;
}
