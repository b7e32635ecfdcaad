import { type Application, printable } from '@selvedge/api';

/** Where an application comes from, in one line. */
export function describeSource({ spec }: Pick<Application, 'spec'>): string {
  const { inline, git, kustomize, helm, oci, mirror } = spec.source;
  if (inline) return 'inline: its manifests stand in the application';
  if (kustomize) return 'kustomize: a kustomization in the application';
  if (git) return printable(`git: ${gitText(git)}`);
  if (helm?.git) return printable(`helm: chart in ${gitText(helm.git)}`);
  if (helm) return printable(`helm: ${helm.chart} ${helm.version ?? '(newest)'} of ${helm.repository}`);
  if (oci) return printable(`oci: ${oci.reference}${pathText(oci.path)}`);
  if (mirror) return printable(`mirror: ${mirror.namespaces.join(', ')} at site ${mirror.site}`);
  return 'nothing';
}

function gitText({ url, ref, path }: NonNullable<Application['spec']['source']['git']>): string {
  const name = ref?.branch ?? ref?.tag ?? ref?.commit?.slice(0, 12);
  return `${url}${name === undefined ? '' : ` at ${name}`}${pathText(path)}`;
}

function pathText(path: string | undefined): string {
  return path === undefined || path === '.' ? '' : `, folder ${path}`;
}
