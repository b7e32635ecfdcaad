import { dirname, isAbsolute, join, resolve } from 'node:path';
import type { KubeconfigContext } from '@selvedge/kube';
import { connect, type ConnectOptions, kubeconfigPath } from '../program/connect.ts';
import { CommandError, type ExitCode, exitCode, UsageError } from '../program/exit-code.ts';
import type { CommandContext } from '../program/terminal.ts';
import { getSite } from '../site/get-site.ts';
import { proxyPath } from './site-pods.ts';

export interface KubeconfigOptions extends ConnectOptions {
  readonly site: string;
  readonly file?: string;
  readonly merge?: boolean;
}

type Fields = Record<string, unknown>;
type Source = KubeconfigContext['cluster'];

/** `selvedge kubeconfig SITE`: a kubeconfig whose API is the site's, through the hub, with the user's own credentials. */
export async function kubeconfigCommand(options: KubeconfigOptions, ctx: CommandContext): Promise<ExitCode> {
  const { site, file, merge } = options;
  if (file !== undefined && merge) throw new UsageError('--output and --merge: give one of them');
  const path = kubeconfigPath(options, ctx.process);
  await using connection = await connect(options, ctx.process);
  const found = await getSite(connection.client, site);
  if (found.spec?.link === 'Disabled') {
    ctx.hint(`site ${site} lets nobody through: its spec.link is Disabled`);
  }
  const { openContext } = await import('@selvedge/kube');
  const context = await openContext(path, options.context);
  if (merge) {
    const changed = await mergeInto(context, site);
    ctx.hint(`context ${site} is in ${changed}; kubectl --context ${site} get pods -A`);
    return exitCode.ok;
  }
  const { stringify } = await import('yaml');
  const text = stringify(ownKubeconfig(context, site));
  if (file === undefined) {
    ctx.print(text.trimEnd());
    return exitCode.ok;
  }
  const { writeFileAtomically } = await import('@selvedge/api/node');
  await writeFileAtomically(resolve(file), text);
  ctx.hint(`kubectl --kubeconfig ${file} get pods -A`);
  return exitCode.ok;
}

/** The hub as the kubeconfig in use has it, but with the site's API behind it. */
function siteCluster({ path, fields }: Source, site: string): Fields {
  const server = String(fields['server']).replace(/\/+$/, '');
  return absolute({ ...fields, server: `${server}${proxyPath(site)}` }, path, ['certificate-authority']);
}

function ownKubeconfig({ cluster, user }: KubeconfigContext, site: string): Fields {
  const files = ['client-certificate', 'client-key', 'tokenFile'];
  return {
    apiVersion: 'v1',
    kind: 'Config',
    'current-context': site,
    clusters: [{ name: site, cluster: siteCluster(cluster, site) }],
    users: [{ name: site, user: withAbsoluteProgram(absolute(user.fields, user.path, files), user.path) }],
    contexts: [{ name: site, context: { cluster: site, user: site } }],
  };
}

/** Relative paths in a kubeconfig start where it lies. */
function absolute(fields: Readonly<Fields>, from: string, names: readonly string[]): Fields {
  const changed = names.flatMap((name) => {
    const value = fields[name];
    return typeof value === 'string' && value !== '' ? [[name, resolve(dirname(from), value)]] : [];
  });
  return { ...fields, ...Object.fromEntries(changed) };
}

/** A plugin given as a path; a bare name is looked for in PATH wherever the file lies. */
function withAbsoluteProgram(user: Fields, from: string): Fields {
  const plugin = user['exec'] as Fields | undefined;
  const command = plugin?.['command'];
  if (typeof command !== 'string' || !command.includes('/') || isAbsolute(command)) return user;
  return { ...user, exec: { ...plugin, command: join(dirname(from), command) } };
}

/** Adds cluster and context beside the user whose credentials are used; everything else in the file stays as it is. */
async function mergeInto(context: KubeconfigContext, site: string): Promise<string> {
  const { readFile, realpath } = await import('node:fs/promises');
  const { isSeq, parseDocument } = await import('yaml');
  const path = await realpath(context.ofContext.path);
  const document = parseDocument(await readFile(path, 'utf8'));
  const server = String(siteCluster(context.cluster, site)['server']);
  const clusterName = `selvedge-${site}`;
  const user = String(context.ofContext.fields['user']);
  const set = (list: string, entry: Fields, isOurs: (there: Fields) => boolean) => {
    if (!isSeq(document.get(list))) document.set(list, document.createNode([]));
    const entries = (document.toJS() as Record<string, Fields[]>)[list] ?? [];
    const at = entries.findIndex((one) => one['name'] === entry['name']);
    const there = entries[at];
    if (there && !isOurs(there)) {
      throw new CommandError(
        `kubeconfig ${path} has another entry ${String(entry['name'])} in ${list}`,
        `Write the site's to a file of its own: selvedge kubeconfig ${site} --output FILE`,
      );
    }
    if (at === -1) document.addIn([list], document.createNode(entry));
    else document.setIn([list, at], document.createNode(entry));
  };
  const cluster = absoluteUnlessBeside(siteCluster(context.cluster, site), context, path);
  set(
    'clusters',
    { name: clusterName, cluster },
    (there) => (there['cluster'] as Fields)['server'] === server,
  );
  set(
    'contexts',
    { name: site, context: { cluster: clusterName, user } },
    (there) => (there['context'] as Fields)['cluster'] === clusterName,
  );
  const { writeFileAtomically } = await import('@selvedge/api/node');
  await writeFileAtomically(path, document.toString());
  return path;
}

/** In the file that the hub's cluster stands in, too, its own way of naming files stays good. */
function absoluteUnlessBeside(cluster: Fields, context: KubeconfigContext, path: string): Fields {
  const name = 'certificate-authority';
  const isBeside = context.cluster.path === path && context.cluster.fields[name] !== undefined;
  return isBeside ? { ...cluster, [name]: context.cluster.fields[name] } : cluster;
}
