import assert from 'node:assert/strict';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import type { Site } from '@selvedge/api';
import { sites } from '@selvedge/api';
import { requireTool } from '@selvedge/testkit';
import type { Lab } from '../../quickstart/lab/lab.ts';
import { poll } from '../../quickstart/lab/poll.ts';
import { findKubectls, Kubectl } from './kubectl-program.ts';
import { echoCommand, podAccessChecks } from './pod-access-checks.ts';
import {
  applicationObject,
  applyObjects,
  findDelivery,
  joinSite,
  labTools,
  siteObject,
  startTestLab,
} from './test-lab.ts';

const siteName = 'shop-1';

describe('a Podman site through hub and service link', requireTool(...labTools), () => {
  let lab: Lab;
  let folder: string;
  let kubeconfig: string;
  let pod: string;

  const newest = () => new Kubectl(findKubectls().at(-1)?.path ?? '', { kubeconfig, folder });

  before(async () => {
    folder = await mkdtemp(join(tmpdir(), 'svg-link-'));
    const started = await startTestLab([siteName]);
    lab = started.lab;
    await joinSite(lab, siteName, {});
    await setLink('Full');
    await applyObjects(lab, [
      { apiVersion: 'v1', kind: 'Namespace', metadata: { name: 'test' } },
      applicationObject({
        name: 'echo',
        container: { image: started.image, command: echoCommand },
        deployment: { replicas: 2 },
      }),
    ]);
    await poll(
      async () =>
        (await findDelivery(lab, 'echo', siteName))?.status?.state === 'Running' ? true : undefined,
      {
        seconds: 120,
        what: 'echo runs',
        why: async () =>
          `${JSON.stringify(await findDelivery(lab, 'echo', siteName))}\n${await lab.site(siteName).agentLog(40)}`,
      },
    );
    kubeconfig = join(folder, 'site.kubeconfig');
    await lab.selvedge('kubeconfig', siteName, '--output', kubeconfig);
    pod =
      (await newest().run(['get', 'pods', '-n', 'test', '-o', 'name'])).split('\n')[0]?.replace('pod/', '') ??
      '';
  });
  after(async () => {
    await lab?.close({ keepData: false });
    await rm(folder, { recursive: true, force: true });
  });

  const setLink = async (link: string) => {
    const site = siteObject(siteName, {});
    await applyObjects(lab, [{ ...site, spec: { variables: {}, link } } as typeof site]);
    await poll(
      async () => {
        const { spec } = await lab.client.get<Site>(sites, { name: siteName });
        return spec?.link === link ? true : undefined;
      },
      { seconds: 30, what: `the link is ${link}` },
    );
  };

  for (const { path, version } of findKubectls()) {
    describe(`kubectl ${version}`, () => {
      podAccessChecks(() => ({
        kubectl: new Kubectl(path, { kubeconfig, folder }),
        namespace: 'test',
        pod,
        folder,
      }));
    });
  }

  describe('selvedge', () => {
    test('kubeconfig --merge adds a context beside the one in use', async () => {
      const text = await readFile(lab.hub.kubeconfig, 'utf8');
      await lab.selvedge('kubeconfig', siteName, '--merge');
      const merged = new Kubectl(findKubectls().at(-1)?.path ?? '', {
        kubeconfig: lab.hub.kubeconfig,
        folder,
      });
      assert.match(await merged.run(['--context', siteName, 'get', 'pods', '-A']), /echo/);
      assert.match(await merged.run(['get', 'sites']), /shop-1/);
      await lab.selvedge('kubeconfig', siteName, '--merge');
      const current = /current-context: (\S+)/;
      assert.equal(current.exec(await readFile(lab.hub.kubeconfig, 'utf8'))?.[1], current.exec(text)?.[1]);
    });

    test('logs shows the lines of all pods, each with its name', async () => {
      const output = await lab.selvedge('logs', siteName, 'test/echo', '--tail', '3');
      const names = new Set(output.match(/^\[[^\]]+\]/gm));
      assert.equal(names.size, 2);
      assert.match(output, /^\[echo-\S+\/main\] line \d+$/m);
      const one = await lab.selvedge(
        'logs',
        siteName,
        'test/echo',
        '--pod',
        pod,
        '--tail',
        '1',
        '--timestamps',
      );
      const last = Number(/^\d{4}-\S+ line (\d+)\n$/.exec(one)?.[1] ?? assert.fail(one));
      assert.ok(last > 3, one);
      // However long this takes: what is older than that line and one second, or two where whole ones are counted, does not come.
      const recent = await lab.selvedge('logs', siteName, 'test/echo', '--pod', pod, '--since', '1s');
      const first = /line (\d+)/.exec(recent)?.[1];
      assert.ok(first === undefined || Number(first) >= last - 2, `after line ${last}: ${recent}`);
    });

    test('exec gives output, error output and the exit code', async () => {
      const result = await lab.trySelvedge(
        'exec',
        siteName,
        'test/echo',
        '--pod',
        pod,
        '--',
        'sh',
        '-c',
        'echo out; echo err >&2; exit 7',
      );
      assert.equal(result.code, 7);
      assert.equal(result.stdout, 'out\n');
      assert.match(result.stderr, /^err$/m);
    });

    test('what is not there is named', async () => {
      const { code, stderr } = await lab.trySelvedge('logs', siteName, 'test/ecko');
      assert.equal(code, 1);
      assert.match(stderr, /has no pods of test\/ecko/);
      const other = await lab.trySelvedge('exec', siteName, 'test/echo', '-c', 'side', '--', 'true');
      assert.match(other.stderr, /no container side/);
      assert.match((await lab.trySelvedge('logs', 'shop-9', 'test/echo')).stderr, /no site shop-9/);
    });
  });

  describe('the policy of the site', () => {
    test('Read lets look, and refuses exec with a word about where to change it', async () => {
      await setLink('Read');
      const refused = await poll(
        async () => {
          const result = await lab.trySelvedge('exec', siteName, 'test/echo', '--pod', pod, '--', 'true');
          return result.code === 0 ? undefined : result;
        },
        { seconds: 60, what: 'exec is refused' },
      );
      assert.match(refused.stderr, /spec\.link/);
      assert.match(await lab.selvedge('logs', siteName, 'test/echo', '--pod', pod, '--tail', '1'), /line/);
    });

    test('Disabled lets nobody through', async () => {
      await setLink('Disabled');
      const refused = await poll(
        async () => {
          const result = await lab.trySelvedge('logs', siteName, 'test/echo', '--pod', pod);
          return result.code === 0 ? undefined : result;
        },
        { seconds: 60, what: 'logs are refused' },
      );
      assert.match(refused.stderr, /Disabled|spec\.link/);
      assert.match(
        await newest().fail([
          'get',
          '--raw',
          `/apis/selvedge.dev/v1alpha1/sites/${siteName}/proxy/api/v1/pods`,
        ]),
        /Disabled|spec\.link/,
      );
    });
  });
});
