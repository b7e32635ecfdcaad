/**
 * `node tools/helm/chart-templates.ts`: writes deploy/helm/selvedge-agent/templates from the same generator as `selvedge site manifest`, so
 * that both install the same objects. A test compares the files with this and renders them.
 */
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { agentManifests, defaultAgentInstall, type KubeObject } from '@selvedge/api';
import { stringify } from 'yaml';
import { repositoryRoot } from '../testing/test-files.ts';

export const chartDirectory = join(repositoryRoot, 'deploy/helm/selvedge-agent');

/** Text of the templates by file name. */
export function chartTemplates(): Record<string, string> {
  const namespace = '{{ .Release.Namespace }}';
  const level = (rbac: 'applications' | 'cluster-admin') =>
    agentManifests(
      {
        ...defaultAgentInstall,
        namespace,
        image: '{{ .Values.image.repository }}:{{ .Values.image.tag }}',
        rbac,
        extraRules: [{ apiGroups: ['@@'], resources: ['@@'], verbs: ['@@'] }],
        link: { users: [], groups: [] },
        proxy: '{{ .Values.proxy }}',
        mirrorNamespaces: ['{{ .Values.mirrorNamespaces }}'],
      },
      '{{ .Values.token }}',
    );
  const objects = level('applications');
  const named = (suffix: string, from = objects) =>
    from.filter(
      ({ kind, metadata }) => isAccess(kind) && metadata.name.split(':')[0] === `selvedge-agent${suffix}`,
    );
  const find = (kind: string) => objects.filter((object) => object.kind === kind);
  return {
    'access.yaml': [
      documents(named('')),
      documents(named('-inventory')),
      when('eq .Values.rbac "applications"', documents(named('-applications'))),
      when('eq .Values.rbac "cluster-admin"', documents(named('-cluster-admin', level('cluster-admin')))),
      when('.Values.extraRules', extra(documents(named('-extra')))),
      when('.Values.link', documents(named('-link'))),
    ].join(''),
    'agent.yaml': documents(find('ServiceAccount')) + deployment(find('Deployment')),
    'token.yaml': when('not .Values.existingTokenSecret', documents(find('Secret'))),
  };
}

function isAccess(kind: string): boolean {
  return /^(Cluster)?Role(Binding)?$/.test(kind);
}

function documents(objects: readonly KubeObject[]): string {
  const options = { aliasDuplicateObjects: false, lineWidth: 0 };
  return objects.map((object) => `---\n${quoted(stringify(object, options))}`).join('');
}

/** A value of the chart may hold anything: it is quoted as JSON is, which is YAML. */
function quoted(text: string): string {
  return text.replaceAll(/"\{\{ (\.Values\.[\w]+) \}\}"/g, '{{ $1 | quote }}');
}

function when(condition: string, text: string): string {
  return `{{- if ${condition} }}\n${text}{{- end }}\n`;
}

function extra(text: string): string {
  return text.replace(/rules:\n(?: .*\n)+/, 'rules:\n  {{- toYaml .Values.extraRules | nindent 2 }}\n');
}

/** What a chart lets people choose beyond what `selvedge site manifest` does stands in the places of the defaults. */
function deployment(objects: readonly KubeObject[]): string {
  return documents(objects)
    .replace(/^( *)nodeSelector:\n(?:\1 {2}.*\n)+/m, (_all, indent: string) => chosen('nodeSelector', indent))
    .replace(/^( *)resources:\n(?:\1 {2}.*\n)+/m, (_all, indent: string) => chosen('resources', indent))
    .replace(/^ *- "?--mirror-namespaces=.*\n/m, (all) => when('.Values.mirrorNamespaces', all))
    .replace(/^( *)env:\n(?:\1 {2}.*\n)+/m, (all) => when('.Values.proxy', all))
    .replace(/^( *)serviceAccountName: .*\n/m, (all, indent: string) => {
      const priority = `${indent}priorityClassName: {{ .Values.priorityClassName | quote }}\n`;
      const secrets = chosen('imagePullSecrets', indent);
      const tolerations = chosen('tolerations', indent);
      return `${all}${when('.Values.priorityClassName', priority)}${when('.Values.imagePullSecrets', secrets)}${when('.Values.tolerations', tolerations)}`;
    })
    .replace(
      /^( *)image: .*\n/m,
      (all, indent: string) => `${all}${indent}imagePullPolicy: {{ .Values.image.pullPolicy | quote }}\n`,
    )
    .replace(/^( *)secretName: .*\n/m, (_all, indent: string) => {
      const name = '{{ .Values.existingTokenSecret | default "selvedge-agent-token" | quote }}';
      return `${indent}secretName: ${name}\n`;
    });
}

function chosen(name: string, indent: string): string {
  return `${indent}${name}:\n${indent}  {{- toYaml .Values.${name} | nindent ${indent.length + 2} }}\n`;
}

if (import.meta.main) {
  for (const [name, text] of Object.entries(chartTemplates())) {
    await writeFile(join(chartDirectory, 'templates', name), text);
  }
}
