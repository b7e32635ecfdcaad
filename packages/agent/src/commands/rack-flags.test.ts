import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { checkRuntime, rackOptions } from './rack-flags.ts';

describe('flags of the rack', () => {
  it('make no rack without --rack, and say so when others were given', () => {
    assert.equal(rackOptions({}), undefined);
    assert.throws(() => rackOptions({ rackListen: { host: '10.0.0.1', port: 5248 } }), /need --rack/);
    assert.throws(() => rackOptions({ rackAllowLocalBmc: true }), /need --rack/);
    assert.equal(rackOptions({ rack: true, rackAllowLocalBmc: true })?.allowLocalBmc, true);
    assert.throws(() => rackOptions({ runtime: 'none' }), /--rack/);
    assert.throws(() => rackOptions({ rack: true, inCluster: true }), /--in-cluster/);
    assert.throws(() => rackOptions({ rack: true, rackScriptKey: 'key.pem' }), /need each other/);
  });

  it('are handed on', () => {
    const listen = { host: '10.0.0.1', port: 5248 };
    const scripts = { rackScriptKey: 'key.pem', rackScriptCertificate: 'certificate.pem' };
    assert.deepEqual(rackOptions({ rack: true, rackListen: listen, rackBootFiles: '/boot', ...scripts }), {
      listen,
      allowLocalBmc: undefined,
      bootFilesDir: '/boot',
      scriptKey: { keyFile: 'key.pem', certificateFile: 'certificate.pem' },
    });
  });

  it('name one runtime', () => {
    assert.equal(checkRuntime({}, false), 'podman');
    assert.equal(checkRuntime({}, true), 'kubernetes');
    assert.equal(checkRuntime({ runtime: 'none' }, false), 'none');
    assert.throws(() => checkRuntime({ runtime: 'none' }, true), /--kubeconfig/);
    assert.throws(() => checkRuntime({ runtime: 'kubernetes' }, false), /--kubeconfig/);
  });
});
