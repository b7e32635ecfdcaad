import assert from 'node:assert/strict';
import { createServer } from 'node:http';
import { type AddressInfo, connect } from 'node:net';
import { describe, test } from 'node:test';
import { startHttpProxy } from './http-proxy.ts';

describe('the HTTP proxy of the lab', () => {
  test('tunnels CONNECT and nothing else, and counts', async () => {
    const server = createServer((_, res) => res.end('hello'));
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    const { port } = server.address() as AddressInfo;
    const proxy = await startHttpProxy();
    try {
      assert.equal((await fetch(proxy.url)).status, 405);
      const text = await new Promise<string>((resolve, reject) => {
        let received = '';
        const socket = connect(proxy.port, '127.0.0.1', () => {
          socket.write(`CONNECT 127.0.0.1:${port} HTTP/1.1\r\n\r\n`);
        });
        socket.on('data', (chunk) => {
          received += chunk.toString();
          if (received.endsWith('\r\n\r\n'))
            socket.write('GET / HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n');
        });
        socket.on('error', reject);
        socket.on('close', () => resolve(received));
      });
      assert.match(text, /200 Connection established[\s\S]*hello/);
      assert.equal(proxy.tunnels, 1);
    } finally {
      await proxy.close();
      server.close();
    }
  });
});
