import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { createLogger } from '@selvedge/api/node';
import { type Hub, startHub } from '@selvedge/hub';
import { requireTool } from '@selvedge/testkit';
import { everyday, smoke } from './kubectl-checks.ts';
import { deleting } from './kubectl-delete-checks.ts';
import { creating } from './kubectl-kind-checks.ts';
import { findKubectls, Kubectl } from './kubectl-program.ts';
import { reading } from './kubectl-read-checks.ts';
import { type Checks, oldestFullMinor, type Suite } from './kubectl-suite.ts';

/** In this order: what comes first makes what later checks look at, and the last takes everything away. */
const matrix: Checks = { ...smoke, ...everyday, ...reading, ...creating, ...deleting };

/** Two at a time on one hub: each has a namespace of its own. */
describe('kubectl', { ...requireTool('kubectl'), concurrency: 2 }, () => {
  let directory: string;
  let hub: Hub;
  before(async () => {
    directory = mkdtempSync(join(tmpdir(), 'selvedge-kubectl-hub-'));
    const logger = createLogger({ level: 'error' });
    // Each release of kubectl deletes Sites.
    const removalGuardSites = '1000';
    hub = await startHub({ data: directory, listen: '127.0.0.1:0', removalGuardSites, logger });
  });
  after(async () => {
    await hub.close();
    rmSync(directory, { recursive: true });
  });

  for (const version of findKubectls()) {
    const checks = version.minor >= oldestFullMinor ? matrix : smoke;
    describe(version.version, { concurrency: 1 }, () => {
      let suite: Suite;
      before(async () => {
        const kubectl = new Kubectl(version.path, { kubeconfig: hub.kubeconfigPath, folder: directory });
        suite = { kubectl, hub, directory, version, namespace: `v${version.minor}` };
        await kubectl.run(['create', 'namespace', suite.namespace]);
      });
      for (const [name, check] of Object.entries(checks)) test(name, () => check(suite));
    });
  }
});
