import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { KubeObject } from '@selvedge/api';
import { parseManifests } from '../manifests/parse-manifests.ts';
import { runProgram } from '../render/run-program.ts';
import { said } from '../render/said.ts';
import { SourceError } from '../source-reading.ts';

export interface HelmRendering {
  /** `helm`, or the path of it. */
  readonly program: string;
  /** Folder with Chart.yaml. Nothing in or beside it leads out of it. */
  readonly chart: string;
  /** An empty folder for values. */
  readonly folder: string;
  readonly releaseName: string;
  readonly namespace: string;
  /** Later ones over earlier ones, by helm's own rules. */
  readonly values: readonly Record<string, unknown>[];
  /** As in `FolderRequest`. */
  readonly allowsNetwork?: boolean;
  readonly signal: AbortSignal;
}

/**
 * What `helm template` makes of a chart: CustomResourceDefinitions too, hooks and tests left out. The chart sees no cluster, so `lookup`
 * finds nothing. Throws `SourceError`.
 */
export async function renderChart(rendering: HelmRendering): Promise<KubeObject[]> {
  const { program, chart, folder, releaseName, namespace, values, allowsNetwork = false, signal } = rendering;
  const files: string[] = [];
  for (const [index, layer] of values.entries()) {
    const file = join(folder, `values-${index}.yaml`);
    // JSON is YAML.
    await writeFile(file, JSON.stringify(layer), { mode: 0o600 });
    files.push('--values', file);
  }
  const args = [
    'template',
    releaseName,
    chart,
    '--namespace',
    namespace,
    '--include-crds',
    '--no-hooks',
    '--skip-tests',
    ...files,
  ];
  const { code, stdout, stderr } = await runProgram({ program, args, folder, allowsNetwork, signal });
  if (code !== 0) throw failure(said(stderr.replaceAll(`${folder}/`, ''), chart));
  return parseManifests([{ name: 'what the chart gave', text: stdout }], signal);
}

function failure(text: string): SourceError {
  if (/nested reference|maximum recursion|exceeded maximum.*depth/i.test(text)) {
    return new SourceError('RenderFailed', `The chart includes itself without end: ${text}`);
  }
  if (/missing in charts/i.test(text)) {
    const hint =
      'nothing is fetched here, so put its dependencies into its charts folder (helm dependency update)';
    return new SourceError('RenderFailed', `The chart cannot be rendered: ${text}; ${hint}.`);
  }
  return new SourceError('RenderFailed', `The chart cannot be rendered: ${text}`);
}
