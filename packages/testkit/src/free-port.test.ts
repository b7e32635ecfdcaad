import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createServer, type AddressInfo } from 'node:net';
import { join } from 'node:path';
import { test } from 'node:test';
import { text } from 'node:stream/consumers';
import { freePort, isPortFree } from './free-port.ts';

const count = 300;

/** A process that takes ports, says which, and ends. */
async function takeElsewhere(): Promise<number[]> {
  const script = `import { freePort } from ${JSON.stringify(join(import.meta.dirname, 'free-port.ts'))};
    const ports = [];
    while (ports.length < ${count}) ports.push(await freePort());
    console.log(JSON.stringify(ports));`;
  const child = spawn(process.execPath, ['--input-type=module', '-e', script], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const [said] = await Promise.all([text(child.stdout), once(child, 'close')]);
  return JSON.parse(said) as number[];
}

test('no two calls get one port, neither in one process nor in several', async () => {
  const own: number[] = [];
  while (own.length < count) own.push(await freePort());
  assert.equal(new Set(own).size, count);
  const others = await takeElsewhere();
  assert.equal(others.length, count, 'a process that took ports ends by itself');
  assert.deepEqual(
    others.filter((port) => own.includes(port)),
    [],
  );
});

test('a port where somebody listens is not free', async (t) => {
  const server = createServer().listen(0, '127.0.0.1');
  t.after(() => server.close());
  await once(server, 'listening');
  assert.equal(await isPortFree((server.address() as AddressInfo).port), false);
});
