import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { X509Certificate } from 'node:crypto';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { request as httpsRequest } from 'node:https';
import { connect, constants } from 'node:http2';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { once } from 'node:events';
import { setTimeout } from 'node:timers/promises';
import { connect as connectTls } from 'node:tls';
import { after, before, describe, test } from 'node:test';
import { createLogger, systemClock } from '@selvedge/api/node';
import { requireTool } from '@selvedge/testkit';
import { type HttpsServer, startHttpsServer } from './https-server.ts';

const logger = createLogger({ level: 'silent' });

describe('the HTTPS server', requireTool('openssl'), () => {
  let directory: string;
  let server: HttpsServer;
  const file = (name: string) => readFileSync(join(directory, name), 'utf8');

  before(async () => {
    directory = mkdtempSync(join(tmpdir(), 'selvedge-https-'));
    makeCertificates(directory);
    server = await startHttpsServer({
      host: '127.0.0.1',
      port: 0,
      tls: { key: file('server.key'), cert: file('server.crt'), clientCa: file('ca.crt') },
      clock: systemClock,
      logger,
      idleMilliseconds: 300,
      handle: (req, res, peer) => {
        if (req.url === '/throw') throw new Error('a fault');
        if (req.url === '/hang') return;
        res.setHeader('content-type', 'application/json');
        res.end(JSON.stringify({ version: req.httpVersion, user: peer.user ?? null }));
      },
    });
  });
  after(async () => {
    await server.close();
    rmSync(directory, { recursive: true });
  });

  const identity = (name?: string) => (name ? { key: file(`${name}.key`), cert: file(`${name}.crt`) } : {});

  test('closes a connection that asks for nothing, not one that waits for its answer', async () => {
    const tls = { host: '127.0.0.1', port: server.port, ca: file('ca.crt') };
    for (const ALPNProtocols of [['http/1.1'], ['h2']]) {
      const silent = connectTls({ ...tls, ALPNProtocols });
      silent.resume();
      await once(silent, 'close');
    }
    const waiting = httpsRequest({ ...tls, path: '/hang', agent: false });
    waiting.on('error', () => {});
    waiting.end();
    const session = connect(`https://127.0.0.1:${server.port}`, { ca: file('ca.crt') });
    const stream = session.request({ ':path': '/hang' });
    stream.on('error', () => {});
    stream.end();
    await setTimeout(1_500);
    assert.equal(waiting.destroyed || waiting.socket?.destroyed, false);
    assert.equal(stream.closed, false);
    waiting.destroy();
    session.destroy();
  });

  function overHttp1(name?: string, path = '/'): Promise<unknown> {
    return new Promise((resolve, reject) => {
      const options = {
        host: '127.0.0.1',
        port: server.port,
        path,
        ca: file('ca.crt'),
        agent: false,
        ...identity(name),
      };
      const req = httpsRequest(options, (res) => {
        let text = '';
        res.on('data', (chunk: Buffer) => (text += chunk));
        res.on('end', () => resolve(JSON.parse(text)));
        res.on('error', reject);
      });
      req.on('error', reject).end();
    });
  }

  async function overHttp2(name?: string): Promise<unknown> {
    const session = connect(`https://127.0.0.1:${server.port}`, { ca: file('ca.crt'), ...identity(name) });
    try {
      return await new Promise((resolve, reject) => {
        session.on('error', reject);
        const stream = session.request({ [constants.HTTP2_HEADER_PATH]: '/' });
        let text = '';
        stream.on('data', (chunk: Buffer) => (text += chunk));
        stream.on('end', () => resolve(JSON.parse(text)));
        stream.on('error', reject);
      });
    } finally {
      session.close();
    }
  }

  test('speaks HTTP/1.1 and HTTP/2 on one port, and knows the user by the certificate', async () => {
    const fingerprint = new X509Certificate(file('admin.crt')).fingerprint256
      .replaceAll(':', '')
      .toLowerCase();
    const user = {
      name: 'admin',
      groups: ['system:masters', 'people'],
      extra: { 'authentication.kubernetes.io/credential-id': [`X509SHA256=${fingerprint}`] },
    };
    assert.deepEqual(await overHttp1('admin'), { version: '1.1', user });
    assert.deepEqual(await overHttp2('admin'), { version: '2.0', user });
  });

  test('a client without a certificate, or with one of somebody else, is nobody', async () => {
    assert.deepEqual(await overHttp2(), { version: '2.0', user: null });
    assert.deepEqual(await overHttp1('stranger'), { version: '1.1', user: null });
  });

  test('a fault of the handler ends its request only', async () => {
    await assert.rejects(overHttp1('admin', '/throw'));
    assert.ok(await overHttp1('admin'));
  });

  test('takes a renewed certificate without a restart', async () => {
    server.setTls({ key: file('server2.key'), cert: file('server2.crt'), clientCa: file('ca.crt') });
    const serial = await new Promise<string>((resolve, reject) => {
      const session = connect(`https://127.0.0.1:${server.port}`, {
        ca: file('ca.crt'),
        ...identity('admin'),
      });
      session.on('error', reject);
      session.on('connect', (_, socket) => {
        resolve(String('getPeerCertificate' in socket ? socket.getPeerCertificate().subject.CN : ''));
        session.close();
      });
    });
    assert.equal(serial, 'server2');
    assert.ok(((await overHttp1('admin')) as { user: unknown }).user, 'clients are still known');
  });

  test('a port that is taken is an error', async () => {
    const again = startHttpsServer({
      host: '127.0.0.1',
      port: server.port,
      tls: { key: file('server.key'), cert: file('server.crt'), clientCa: file('ca.crt') },
      clock: systemClock,
      logger,
      handle: () => {},
    });
    await assert.rejects(again, { code: 'EADDRINUSE' });
  });

  test('closes although a request never ends', async () => {
    const hanging = overHttp1('admin', '/hang').catch(() => 'cut');
    await overHttp1('admin');
    await server.close();
    assert.equal(await hanging, 'cut');
  });
});

function makeCertificates(directory: string): void {
  const openssl = (...args: string[]) => execFileSync('openssl', args, { cwd: directory, stdio: 'pipe' });
  const newKey = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes'];
  for (const ca of ['ca', 'other']) {
    openssl(
      'req',
      '-x509',
      ...newKey,
      '-keyout',
      `${ca}.key`,
      '-out',
      `${ca}.crt`,
      '-days',
      '2',
      '-subj',
      `/CN=${ca}`,
    );
  }
  writeFileSync(join(directory, 'server.ext'), 'subjectAltName=IP:127.0.0.1');
  writeFileSync(join(directory, 'client.ext'), 'extendedKeyUsage=clientAuth');
  const issue = (name: string, subject: string, ca: string) => {
    openssl('req', ...newKey, '-keyout', `${name}.key`, '-out', `${name}.csr`, '-subj', subject);
    const extensions = name.startsWith('server') ? 'server.ext' : 'client.ext';
    const signing = [
      '-CA',
      `${ca}.crt`,
      '-CAkey',
      `${ca}.key`,
      '-CAcreateserial',
      '-days',
      '2',
      '-extfile',
      extensions,
    ];
    openssl('x509', '-req', '-in', `${name}.csr`, '-out', `${name}.crt`, ...signing);
  };
  issue('server', '/CN=server', 'ca');
  issue('server2', '/CN=server2', 'ca');
  issue('admin', '/O=system:masters/O=people/CN=admin', 'ca');
  issue('stranger', '/O=system:masters/CN=admin', 'other');
}
