import { type ApplicationRender, applications, type ResolveFaults } from '@selvedge/api';
import { resourcePath } from '@selvedge/kube';
import { type ConnectOptions, connect } from '../program/connect.ts';
import { CommandError, exitCode } from '../program/exit-code.ts';
import { type Command, formatDocument } from '../program/terminal.ts';
import { renderTable } from '../render/table.ts';

export interface RenderOptions extends ConnectOptions {
  readonly name: string;
  readonly site: string;
  readonly release?: string;
  readonly namespace?: string;
  readonly trace?: true;
  readonly output: 'yaml' | 'json';
}

/** Shows what a site applies; exits 1 when the site cannot have it. Manifests alone are printed: they can be given to other tools. */
export const renderCommand: Command<RenderOptions> = async (options, ctx) => {
  await using hub = await connect(options, ctx.process);
  const { name, site, release, output } = options;
  const namespace = options.namespace ?? hub.namespace ?? 'default';
  const answer = await hub.client.request<ApplicationRender>({
    method: 'POST',
    path: resourcePath(applications, { namespace, name, subresource: 'render' }),
    body: { spec: { site, ...(release === undefined ? {} : { release }) } },
  });
  if (answer.kind !== 'ApplicationRender') {
    throw new CommandError(
      'the hub answered nothing rendered',
      'Check that hub and selvedge have one version.',
    );
  }
  const { status } = answer;
  const chosen = status.overrides.length === 0 ? 'no override' : `overrides ${status.overrides.join(', ')}`;
  ctx.hint(`Release ${status.release} at ${site}, with ${chosen}`);
  if (!status.isSelected)
    ctx.hint(`${site} is not in the placement of ${name}: it would apply this if it were`);
  for (const { name: secret, as = secret } of status.secrets) {
    ctx.hint(`Secret ${as} is added there: that of ${secret} at the hub, sealed to the site`);
  }
  if (status.faults) {
    for (const line of faultLines(status.faults)) ctx.hint(ctx.paint('bad', `✗ ${line}`));
    return exitCode.trouble;
  }
  if (options.trace === true) ctx.print(await traceText(answer, output));
  else ctx.print(await manifestsText(answer, output));
  return exitCode.ok;
};

async function manifestsText({ status }: ApplicationRender, output: 'yaml' | 'json'): Promise<string> {
  if (output === 'json')
    return formatDocument('json', { apiVersion: 'v1', kind: 'List', items: status.manifests });
  const documents: string[] = [];
  for (const manifest of status.manifests) documents.push((await formatDocument('yaml', manifest)).trimEnd());
  return documents.join('\n---\n');
}

async function traceText({ status }: ApplicationRender, output: 'yaml' | 'json'): Promise<string> {
  if (output === 'json') return formatDocument('json', status.trace);
  if (status.trace.length === 0) return 'No override changes anything there.';
  const rows = status.trace.map(({ manifest, override, fields }) => [manifest, override, fields.join(', ')]);
  return renderTable(['MANIFEST', 'CHANGED BY', 'FIELDS'], rows);
}

function faultLines({ missingVariables, overrides, notRendered }: ResolveFaults): string[] {
  return [
    ...missingVariables.map((value) => `the site has no ${value}, and there is no default`),
    ...overrides.map((fault) => `spec.${fault}`),
    ...(notRendered.length === 0
      ? []
      : [`the chart is not rendered yet for the Helm values of ${notRendered.join(' and ')} together`]),
  ];
}
