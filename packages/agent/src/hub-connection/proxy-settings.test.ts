import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { readProxySettings } from './proxy-settings.ts';

const proxyOf = (environment: Record<string, string>, host: string, port = 443) =>
  readProxySettings(environment).findProxy({ host, port })?.host;

describe('proxy settings', () => {
  test('without HTTPS_PROXY the way is straight', () => {
    assert.equal(proxyOf({ NO_PROXY: '*' }, 'hub.example'), undefined);
    assert.equal(proxyOf({ HTTPS_PROXY: '' }, 'hub.example'), undefined);
  });

  test('a URL, or host and port alone', () => {
    assert.equal(proxyOf({ HTTPS_PROXY: 'http://user:secret@proxy:3128' }, 'hub'), 'proxy:3128');
    assert.equal(proxyOf({ https_proxy: 'proxy:3128' }, 'hub'), 'proxy:3128');
    assert.equal(proxyOf({ https_proxy: 'http://[fd00::1]:3128' }, 'hub'), '[fd00::1]:3128');
  });

  test('NO_PROXY names hosts, suffixes, addresses, networks and ports', () => {
    const through = (noProxy: string, host: string, port?: number) =>
      proxyOf({ HTTPS_PROXY: 'http://p:1', NO_PROXY: noProxy }, host, port) !== undefined;
    assert.equal(through('*', 'hub'), false);
    assert.equal(through('a, shop.example', 'hub.shop.example'), false);
    assert.equal(through('.shop.example', 'hub.SHOP.example'), false);
    assert.equal(through('shop.example', 'workshop.example'), true);
    assert.equal(through('127.0.0.1', '127.0.0.1'), false);
    assert.equal(through('10.0.0.0/8', '10.2.3.4'), false);
    assert.equal(through('10.0.0.0/8', '11.2.3.4'), true);
    assert.equal(through('fd00::/8', 'fd00::7'), false);
    assert.equal(through('[fd00::7]:6480', 'fd00::7', 6480), false);
    assert.equal(through('hub:6480', 'hub', 443), true);
  });

  test('what is no proxy URL is refused without repeating it', () => {
    for (const bad of ['http://user:secret@', 'ftp://user:secret@proxy:21']) {
      assert.throws(
        () => readProxySettings({ HTTPS_PROXY: bad }),
        (error: Error) => !error.message.includes('secret') && error.message.includes('HTTPS_PROXY'),
      );
    }
  });
});
