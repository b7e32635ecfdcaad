import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import { type DecisionScriptOptions, decisionScript, firstScript } from './boot-scripts.ts';
import { parseBootRequest } from './firmware-routes.ts';
import type { BootDecision } from './machine-desk.ts';

const options: DecisionScriptOptions = {
  rackUrl: 'http://10.10.0.1:5248',
  query: 'mac=52:54:00:00:00:01&platform=pcbios&arch=i386',
  platform: 'BIOS',
  architecture: 'amd64',
  attempt: 0,
  isSigned: false,
};
const wait: BootDecision = { boot: 'Wait', seconds: 10, attempts: 3, message: 'Accept this machine.' };

describe('scripts for iPXE', () => {
  test('the inspection system gets its nonce and the rack on its command line', () => {
    const text = decisionScript(
      { boot: 'System', nonce: 'N0nce', kernelArguments: ['console=ttyS1,115200n8'] },
      options,
    );
    assert.match(
      text ?? '',
      /^kernel --name vmlinuz http:\/\/10\.10\.0\.1:5248\/system\/amd64\/vmlinuz initrd=initrd\.img selvedge\.rack=http:\/\/10\.10\.0\.1:5248 selvedge\.boot=N0nce BOOTIF=01-\$\{mac:hexhyp\} console=ttyS1,115200n8 \|\| goto failed$/m,
    );
  });

  test('a kernel argument that would be more than one is an error of ours', () => {
    for (const word of ['a b', 'a||reboot', '${uuid}', '']) {
      const decision: BootDecision = { boot: 'System', nonce: 'n', kernelArguments: [word] };
      assert.throws(() => decisionScript(decision, options), /a kernel argument may hold/);
    }
  });

  test('a box that waits asks again as often as it may, then leaves for its disk', () => {
    const asked = [0, 1, 2].map((attempt) => decisionScript(wait, { ...options, attempt }) ?? '');
    for (const [i, text] of asked.entries()) {
      assert.match(text, /^echo Accept this machine\.$/m);
      assert.ok(text.includes(`&attempt=${i + 1} ||`), text);
    }
    assert.equal(
      decisionScript(wait, { ...options, attempt: 3 }),
      '#!ipxe\niseq ${platform} efi && exit 1 || exit\n',
    );
  });

  test('only scripts of a rack with a key ask for signatures', () => {
    const decision: BootDecision = { boot: 'System', nonce: 'n', kernelArguments: [] };
    for (const isSigned of [false, true]) {
      const own = { ...options, isSigned };
      const text: string = [decisionScript(decision, own), firstScript(own)].join('');
      assert.equal(text.includes('imgverify'), isSigned);
      assert.equal(text.includes('/system/amd64/vmlinuz.sig'), isSigned);
      assert.equal(text.includes('/ipxe/decide.sig?'), isSigned);
    }
  });

  test('whatever a message says, it stays one harmless line', () => {
    fc.assert(
      fc.property(
        fc.oneof(fc.string(), fc.constantFrom('a\nreboot', '&& reboot', '${pwned}', '"|| x', "'#")),
        (message) => {
          const text = decisionScript({ ...wait, message }, options) ?? '';
          const shape = decisionScript({ ...wait, message: '' }, options) ?? '';
          assert.equal(text.split('\n').length, shape.split('\n').length);
          const [echo = ''] = text.split('\n').slice(1);
          assert.match(echo, /^echo [A-Za-z0-9 .,:;()/_-]*$/);
        },
      ),
    );
  });

  test('what a box says of itself is told back to it as text only', () => {
    const hostile = fc.oneof(
      fc.string(),
      fc.constantFrom('Acme "Inc" && reboot', '${uuid}', "it's | # ~ `x`"),
    );
    fc.assert(
      fc.property(hostile, hostile, (serial, product) => {
        const query = new URLSearchParams({
          mac: '52:54:00:00:00:01',
          platform: 'efi',
          arch: 'x86_64',
          serial,
          product,
        });
        const first = parseBootRequest(query, '10.10.0.9');
        const again = parseBootRequest(new URLSearchParams(query.toString()), '10.10.0.9');
        assert.deepEqual(again, first);
        assert.doesNotMatch(`${first.serial}${first.product}`, /\p{Cc}/u);
      }),
    );
  });
});
