import { globSync } from 'node:fs';
import { join } from 'node:path';

export const repositoryRoot = join(import.meta.dirname, '../..');

export type PhaseName =
  | 'unit'
  | 'architecture'
  | 'scenarios'
  | 'conformance'
  | 'postgres'
  | 'kubernetes'
  | 'podman'
  | 'e2e';

/** Tests that are run together. */
export interface Phase {
  name: PhaseName;
  files: string[];
  /** Files at a time. Suites that start containers or whole hubs run alone, so that their timings mean something. */
  concurrency: number;
  /** For one test. Generous: it ends what hangs, it measures nothing. */
  timeoutMinutes: number;
}

/** Every test file of the repository, each in exactly one phase. */
export function testPhases(): Phase[] {
  const beside = find('{packages,tools,quickstart,bench}/**/*.test.ts');
  const e2e = find('tests/e2e/**/*.test.ts');
  const isPodman = (file: string) => file.endsWith('.podman.test.ts');
  const isPostgres = (file: string) => file.endsWith('.postgres.test.ts');
  const isKubernetes = (file: string) => file.endsWith('.kubernetes.test.ts');
  const isUnit = (file: string) => !isPodman(file) && !isPostgres(file) && !isKubernetes(file);
  return [
    {
      name: 'architecture',
      files: find('tests/architecture/**/*.test.ts'),
      concurrency: 2,
      timeoutMinutes: 5,
    },
    { name: 'unit', files: beside.filter(isUnit), concurrency: 2, timeoutMinutes: 10 },
    {
      name: 'scenarios',
      files: find('tests/scenarios/**/*.test.ts'),
      concurrency: 1,
      timeoutMinutes: 15,
    },
    { name: 'postgres', files: beside.filter(isPostgres), concurrency: 2, timeoutMinutes: 15 },
    {
      name: 'conformance',
      files: find('tests/conformance/**/*.test.ts'),
      concurrency: 1,
      timeoutMinutes: 10,
    },
    // On our own API server always, on a real one where KUBEBUILDER_ASSETS names it.
    {
      name: 'kubernetes',
      files: [...beside, ...e2e].filter(isKubernetes),
      concurrency: 1,
      timeoutMinutes: 15,
    },
    { name: 'podman', files: beside.filter(isPodman), concurrency: 1, timeoutMinutes: 15 },
    { name: 'e2e', files: e2e.filter((file) => !isKubernetes(file)), concurrency: 1, timeoutMinutes: 25 },
  ];
}

function find(pattern: string): string[] {
  return globSync(pattern, { cwd: repositoryRoot, exclude: (name) => name === 'node_modules' })
    .map((file) => join(repositoryRoot, file))
    .sort();
}
