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
  | 'machines'
  | 'e2e'
  | 'slow';

/** Tests that are run together. */
export interface Phase {
  name: PhaseName;
  files: string[];
  /** Phases of one lane run one after the other, beside those of the other lane: most of a long test is waiting. */
  lane: 'containers' | 'others';
  /** Files of this phase at a time. */
  concurrency: number;
  /** For one test. Generous: it ends what hangs, it measures nothing. */
  timeoutMinutes: number;
  /** Runs only when it is asked for by name. */
  isOnRequest?: boolean;
}

/** Every test file of the repository, each in exactly one phase. */
export function testPhases(): Phase[] {
  const beside = find('{packages,tools,quickstart,bench}/**/*.test.ts');
  const e2e = find('tests/e2e/**/*.test.ts');
  const isPodman = (file: string) => file.endsWith('.podman.test.ts');
  const isPostgres = (file: string) => file.endsWith('.postgres.test.ts');
  const isKubernetes = (file: string) => file.endsWith('.kubernetes.test.ts');
  const isMachines = (file: string) => file.endsWith('.machines.test.ts');
  const isSlow = (file: string) => file.endsWith('.slow.test.ts');
  const isUnit = (file: string) =>
    ![isPodman, isPostgres, isKubernetes, isMachines, isSlow].some((isOfPhase) => isOfPhase(file));
  const machines = find('tests/machines/**/*.test.ts');
  return [
    {
      name: 'architecture',
      files: find('tests/architecture/**/*.test.ts'),
      lane: 'others',
      concurrency: 2,
      timeoutMinutes: 5,
    },
    { name: 'unit', files: beside.filter(isUnit), lane: 'others', concurrency: 2, timeoutMinutes: 10 },
    {
      name: 'scenarios',
      files: find('tests/scenarios/**/*.test.ts'),
      lane: 'others',
      concurrency: 1,
      timeoutMinutes: 15,
    },
    {
      name: 'postgres',
      files: beside.filter(isPostgres),
      lane: 'others',
      concurrency: 2,
      timeoutMinutes: 15,
    },
    {
      name: 'conformance',
      files: find('tests/conformance/**/*.test.ts'),
      lane: 'others',
      concurrency: 1,
      timeoutMinutes: 10,
    },
    // On our own API server always, on a real one where KUBEBUILDER_ASSETS names it.
    {
      name: 'kubernetes',
      files: [...beside, ...e2e].filter(isKubernetes),
      lane: 'containers',
      concurrency: 1,
      timeoutMinutes: 15,
    },
    {
      name: 'podman',
      files: beside.filter(isPodman),
      lane: 'containers',
      concurrency: 1,
      timeoutMinutes: 15,
    },
    // Virtual machines, network namespaces, real DHCP servers and emulated BMCs.
    {
      name: 'machines',
      files: [...beside, ...machines].filter(isMachines),
      lane: 'others',
      concurrency: 1,
      timeoutMinutes: 30,
    },
    {
      name: 'e2e',
      files: e2e.filter((file) => !isKubernetes(file)),
      lane: 'containers',
      concurrency: 1,
      timeoutMinutes: 25,
    },
    // Real Debian with cloud-init: builds an image for minutes.
    {
      name: 'slow',
      files: [...beside, ...machines].filter(isSlow),
      lane: 'others',
      concurrency: 1,
      timeoutMinutes: 60,
      isOnRequest: true,
    },
  ];
}

function find(pattern: string): string[] {
  return globSync(pattern, { cwd: repositoryRoot, exclude: (name) => name === 'node_modules' })
    .map((file) => join(repositoryRoot, file))
    .sort();
}
