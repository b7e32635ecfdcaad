import assert from 'node:assert/strict';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Hub } from '@selvedge/hub';
import type { Kubectl, KubectlVersion } from './kubectl-program.ts';

/** Before this, kubectl lacks what the matrix uses; what its users do most still has to work. */
export const oldestFullMinor = 27;

export interface Suite {
  readonly kubectl: Kubectl;
  readonly hub: Hub;
  readonly directory: string;
  readonly version: KubectlVersion;
  /** Its own, also in the names of objects that live in no namespace. */
  readonly namespace: string;
}

export type Check = (suite: Suite) => Promise<void>;
export type Checks = Readonly<Record<string, Check>>;

export const site = (name: string, rest = '') => `
apiVersion: selvedge.dev/v1alpha1
kind: Site
metadata:
  name: ${name}
  labels: {suite: ${name}}
spec:
  displayName: Berlin
  timeZone: Europe/Berlin
${rest}`;

export const configMap = ({ namespace }: Pick<Suite, 'namespace'>, name: string, data: string) => `
apiVersion: v1
kind: ConfigMap
metadata: {name: ${name}, namespace: ${namespace}}
data: ${data}
`;

export const apply = ({ kubectl }: Suite, input: string, ...flags: string[]) =>
  kubectl.run(['apply', '-f', '-', ...flags], { input });
export const refused = ({ kubectl }: Suite, input: string, ...flags: string[]) =>
  kubectl.fail(['apply', '-f', '-', ...flags], { input });

/** Runs kubectl in the namespace of the suite. */
export const inside =
  ({ kubectl, namespace }: Suite) =>
  (...args: string[]) =>
    kubectl.run([...args, '-n', namespace]);

export async function eventually(probe: () => boolean | Promise<boolean>, what: () => string): Promise<void> {
  for (let attempt = 0; attempt < 300; attempt++) {
    if (await probe()) return;
    await sleep(100);
  }
  assert.fail(`did not happen in time: ${what()}`);
}
