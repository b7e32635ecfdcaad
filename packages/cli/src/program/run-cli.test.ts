import assert from 'node:assert/strict';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { runCaptured } from '../testing/run-captured.ts';

describe('command line', () => {
  let folder = '';
  before(async () => {
    folder = await mkdtemp(join(tmpdir(), 'selvedge-cli-'));
  });
  after(() => rm(folder, { recursive: true }));

  const kubeconfigFor = async (server: string): Promise<string> => {
    const path = join(folder, `kubeconfig-${Math.random()}`);
    await writeFile(
      path,
      JSON.stringify({
        'current-context': 'a',
        clusters: [{ name: 'a', cluster: { server } }],
        users: [{ name: 'a', user: {} }],
        contexts: [{ name: 'a', context: { cluster: 'a', user: 'a' } }],
      }),
    );
    return path;
  };

  test('help goes to stdout, tells the exit codes, and is no fault', async () => {
    const { code, stdout, stderr } = await runCaptured(['--help']);
    assert.equal(code, 0);
    assert.match(stdout, /Exit codes:/);
    for (const command of ['hub', 'status', 'why', 'site', 'version'])
      assert.ok(stdout.includes(`  ${command}`));
    assert.equal(stderr, '');
  });

  const wrong: [string, string[], RegExp][] = [
    ['an unknown command', ['stauts'], /unknown command 'stauts'[^]*status/],
    ['an unknown option', ['status', '--fast'], /unknown option '--fast'/],
    ['a missing argument', ['why', 'shop-1'], /missing required argument 'application'/],
    ['an unknown output', ['status', '-o', 'xml'], /'xml' is invalid[^]*table, json, yaml/],
    ['no kubeconfig', ['status'], /no kubeconfig given: pass --kubeconfig/],
    ['a missing kubeconfig', ['status', '--kubeconfig', '/nowhere'], /kubeconfig \/nowhere: cannot be read/],
    ['uses that are no number', ['site', 'token', 'a', '--uses', '0'], /whole number from 1/],
    ['a label without value', ['site', 'token', 'a', '--label', 'x'], /key=value/],
    ['a hub address that is none', ['site', 'token', 'a', '--hub-url', 'hub'], /not an https:\/\/ address/],
    [
      'uses without template',
      ['site', 'token', 'shop', '--uses', '3'],
      /template of names, as in shop-\{hostname\}/,
    ],
    ['a hub without data folder', ['hub'], /--data DIR is needed/],
  ];
  for (const [what, args, message] of wrong) {
    test(`${what} is wrong usage: exit 2 and one clear line`, async () => {
      const { code, stdout, stderr } = await runCaptured(args);
      assert.equal(code, 2);
      assert.equal(stdout, '');
      assert.match(stderr, message);
      assert.match(stderr, /^selvedge: /);
      assert.ok(!stderr.includes('    at '), 'no stack trace');
    });
  }

  test('a hub out of reach is exit 3, naming its address; as JSON a Status', async () => {
    const server = createServer();
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    const address = `https://127.0.0.1:${(server.address() as AddressInfo).port}`;
    await new Promise((resolve) => server.close(resolve));
    const env = { SELVEDGE_KUBECONFIG: await kubeconfigFor(address) };
    const plain = await runCaptured(['status'], { env });
    assert.equal(plain.code, 3);
    assert.ok(plain.stderr.includes(`selvedge: cannot reach ${address}: nothing listens there`));
    assert.ok(!plain.stderr.includes('    at '));
    const json = await runCaptured(['why', 'a', 'b', '-o', 'json'], { env });
    assert.equal(json.code, 3);
    assert.equal((JSON.parse(json.stderr) as { reason: string }).reason, 'ServiceUnavailable');
    const debug = await runCaptured(['status'], { env: { ...env, SELVEDGE_DEBUG: '1' } });
    assert.match(debug.stderr, /caused by: /);
  });

  test('$SELVEDGE_KUBECONFIG counts before $KUBECONFIG, and --kubeconfig before both', async () => {
    const env = { SELVEDGE_KUBECONFIG: '/first', KUBECONFIG: '/second' };
    assert.match((await runCaptured(['status'], { env })).stderr, /\/first/);
    assert.match((await runCaptured(['status'], { env: { KUBECONFIG: '/second' } })).stderr, /\/second/);
    assert.match((await runCaptured(['status', '--kubeconfig', '/third'], { env })).stderr, /\/third/);
  });

  test('version', async () => {
    assert.match((await runCaptured(['version'])).stdout, /^selvedge \d+\.\d+\.\d+ \(Node 24/);
    const json = JSON.parse((await runCaptured(['version', '-o', 'json'])).stdout) as { selvedge: string };
    assert.match(json.selvedge, /^\d/);
  });
});
