import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { createLogger } from '@selvedge/api/node';
import { type Hub, startHub } from '@selvedge/hub';
import { requireTool } from '@selvedge/testkit';
import { everything, oldestFullMinor, smoke, type Suite } from './kubectl-checks.ts';
import { findKubectls, Kubectl } from './kubectl-program.ts';

describe('kubectl', { ...requireTool('kubectl'), concurrency: false }, () => {
  let directory: string;
  let hub: Hub;
  before(async () => {
    directory = mkdtempSync(join(tmpdir(), 'selvedge-kubectl-hub-'));
    const logger = createLogger({ level: 'error' });
    hub = await startHub({ data: directory, listen: '127.0.0.1:0', logger });
  });
  after(async () => {
    await hub.close();
    rmSync(directory, { recursive: true });
  });

  const versions = findKubectls();
  const supported = versions.filter((v) => v.minor >= oldestFullMinor);
  const full = new Set([supported.at(0), supported.at(-1)]);
  for (const version of versions) {
    const isFull = full.has(version);
    describe(`${version.version}, ${isFull ? 'everything' : 'smoke'}`, { concurrency: false }, () => {
      const suite = (): Suite => ({
        kubectl: new Kubectl(version.path, { kubeconfig: hub.kubeconfigPath, folder: directory }),
        hub,
        directory,
        version,
        namespace: `v${version.minor}`,
      });
      let shared: Suite;
      before(async () => {
        shared = suite();
        await shared.kubectl.run(['create', 'namespace', shared.namespace]);
      });
      for (const [name, check] of Object.entries(isFull ? { ...smoke, ...everything } : smoke)) {
        test(name, () => check(shared));
      }
    });
  }
});
