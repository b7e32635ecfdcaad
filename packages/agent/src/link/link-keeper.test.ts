import assert from 'node:assert/strict';
import type { IncomingHttpHeaders } from 'node:http';
import { Readable } from 'node:stream';
import { describe, test } from 'node:test';
import { linkProtocol, StatusError } from '@selvedge/api';
import { WebSocketServer } from 'ws';
import { readContact } from '../state/contact-record.ts';
import { readProxySettings } from '../hub-connection/proxy-settings.ts';
import { MemoryDriver } from '../testing/memory-driver.ts';
import { eventually, makeStateDir, startTestAgent, wrongClock } from '../testing/test-agent.ts';
import { TestHub } from '../testing/test-hub.ts';
import { startTestProxy } from '../testing/test-proxy.ts';
import type { LinkDoor } from './link-door.ts';
import { ask, startAsking } from './testing/link-client.ts';

const door: LinkDoor = {
  answer: async (call) => {
    if (call.path === '/api/v1/never') return new Promise(() => {});
    const headers: IncomingHttpHeaders = { 'content-type': 'text/plain' };
    return { status: 200, headers, body: Readable.from([Buffer.from(call.user.name)]) };
  },
  upgrade: async () => {
    throw new StatusError('NotFound', 'nothing to upgrade to');
  },
};

function driverWithDoor(): MemoryDriver {
  const driver = new MemoryDriver();
  driver.door = door;
  return driver;
}

/** With a state that says what people may do here: without one nobody gets through. */
async function startHub(options: Parameters<typeof TestHub.start>[0] = {}): Promise<TestHub> {
  const hub = await TestHub.start(options);
  hub.epoch = 1;
  return hub;
}

type AgentOptions = Parameters<typeof startTestAgent>[0];

/** With a door, unless `more` has another driver. */
const startAgent = (hub: TestHub, state: { path: string }, more: Partial<AgentOptions> = {}) =>
  startTestAgent({ stateDir: state.path, token: hub.token(), driver: driverWithDoor(), ...more });

const lastOf = (hub: TestHub) => {
  const link = hub.links.at(-1);
  assert.ok(link);
  return link;
};

describe('the service link of an agent', () => {
  test('it is opened when the hub wishes for it, once, and leads to the door of the driver', async () => {
    await using hub = await startHub();
    await using state = await makeStateDir();
    await using _agent = startAgent(hub, state);
    await eventually('the agent is there', () => hub.requests.length > 0);
    assert.equal(hub.links.length, 0);
    hub.wishForLink();
    await eventually('the link is open', () => hub.links.length === 1);
    assert.equal((await ask(lastOf(hub), { path: '/api/v1/pods' })).text, 'anna');
    hub.wishForLink();
    await eventually('the agent heard it', () => hub.requests.length > 4);
    hub.wishesLink = false;
    assert.equal(hub.links.length, 1);
    await eventually('the agent tells of it', async () => {
      return (await readContact(`${state.path}/contact.json`)).linkSince !== undefined;
    });
  });

  test('nothing is opened before a state that the fleet key has signed allows it', async () => {
    await using hub = await startHub();
    hub.epoch = 0;
    await using state = await makeStateDir();
    await using _agent = startAgent(hub, state);
    hub.wishForLink();
    await eventually('the agent heard the wish', () => hub.requests.length > 3);
    assert.equal(hub.links.length, 0);
    hub.epoch = 1;
    hub.publish();
    await eventually('the link is open', () => hub.links.length === 1);
  });

  test('after it was lost, the next wish opens another', async () => {
    await using hub = await startHub();
    await using state = await makeStateDir();
    await using _agent = startAgent(hub, state);
    for (let n = 1; n <= 3; n++) {
      hub.wishForLink();
      await eventually('the link is open', () => hub.links.length === n);
      assert.equal((await ask(lastOf(hub), { path: '/api/v1/pods' })).status, 200);
      lastOf(hub).destroy();
    }
  });

  test('through a CONNECT proxy, and with a clock that is years off', async () => {
    await using hub = await startHub({ timeOffsetMs: 2 * 365 * 86_400_000 });
    await using proxy = await startTestProxy({ credentials: 'user:secret' });
    await using state = await makeStateDir();
    await using _agent = startAgent(hub, state, {
      clock: wrongClock(-86_400_000),
      proxies: readProxySettings({ HTTPS_PROXY: `http://user:secret@127.0.0.1:${proxy.port}` }),
    });
    hub.wishForLink();
    await eventually('the link is open', () => hub.links.length === 1);
    assert.equal((await ask(lastOf(hub), { path: '/api/v1/pods' })).status, 200);
    assert.ok(proxy.asked.every(({ target }) => target === `127.0.0.1:${hub.port}`));
  });

  test('it ends when the policy says Disabled, and is not opened while it does', async () => {
    await using hub = await startHub();
    await using state = await makeStateDir();
    await using agent = startAgent(hub, state);
    hub.wishForLink();
    await eventually('the link is open', () => hub.links.length === 1);
    const link = lastOf(hub);
    startAsking(link, { path: '/api/v1/never' });
    hub.policy = { timeZone: 'UTC', link: 'Disabled' };
    hub.epoch += 1;
    hub.publish();
    await eventually('the link is closed', () => link.destroyed);
    const before = hub.requests.length;
    hub.wishForLink();
    await eventually('the agent heard the wish', () => hub.requests.length > before + 3);
    assert.equal(hub.links.length, 1);
    hub.policy = { timeZone: 'UTC', link: 'Full' };
    hub.epoch += 1;
    hub.publish();
    await eventually('it is opened again', () => hub.links.length === 2);
    await agent.stop();
    await eventually('it ends with the agent', () => lastOf(hub).destroyed);
  });

  test("the site's own limit holds whatever the hub's policy says", async () => {
    await using hub = await startHub();
    await using state = await makeStateDir();
    hub.policy = { timeZone: 'UTC', link: 'Full' };
    hub.epoch = 1;
    await using _agent = startAgent(hub, state, { link: 'Read' });
    await eventually('the policy is there', () => hub.requests.some(({ epoch }) => epoch === 1));
    hub.wishForLink();
    await eventually('the link is open', () => hub.links.length === 1);
    const answer = await ask(lastOf(hub), { method: 'DELETE', path: '/api/v1/namespaces/a' });
    assert.equal(answer.status, 403);
    assert.match(answer.text, /runs with --link read/);
  });

  test('something on the way that lets no WebSocket through is named; the sync goes on', async () => {
    await using hub = await startHub();
    await using state = await makeStateDir();
    let refused = 0;
    hub.serveLink = (_req, socket) => {
      refused += 1;
      socket.end('HTTP/1.1 400 Bad Request\r\ncontent-length: 5\r\n\r\nnope\n');
      return true;
    };
    await using agent = startAgent(hub, state);
    hub.wishForLink();
    await eventually('it was tried twice', () => refused >= 2);
    const before = hub.requests.length;
    await eventually('the sync goes on', () => hub.requests.length > before + 2);
    const said = agent.log.filter(({ message }) => message.includes('service link could not be opened'));
    assert.match(
      JSON.stringify(said[0]?.fields),
      /answered 400.*proxy or load balancer.*let WebSockets through/,
    );
    assert.equal(said.filter(({ level }) => level === 'warn').length, 1, 'said once, not at each try');
    const trouble = async () => (await readContact(`${state.path}/contact.json`)).linkTrouble;
    await eventually('the agent tells of it', async () => /no WebSocket/.test((await trouble()) ?? ''));
    hub.serveLink = undefined;
    await eventually('it opens when the way is free', () => hub.links.length === 1);
    await eventually('and no more', async () => (await trouble()) === undefined);
  });

  test('when the hub refuses the key, the link ends', async () => {
    await using hub = await startHub();
    await using state = await makeStateDir();
    await using _agent = startAgent(hub, state);
    hub.wishForLink();
    await eventually('the link is open', () => hub.links.length === 1);
    hub.refuse = () => new StatusError('Forbidden', 'the site is revoked');
    hub.publish();
    await eventually('the link is closed', () => lastOf(hub).destroyed);
  });

  test('a door that cannot be opened yet is answered, and tried again', async () => {
    await using hub = await startHub();
    await using state = await makeStateDir();
    const driver = new MemoryDriver();
    await using _agent = startAgent(hub, state, { driver });
    hub.wishForLink();
    await eventually('the link is open', () => hub.links.length === 1);
    assert.equal((await ask(lastOf(hub), { path: '/api/v1/pods' })).status, 503);
    driver.door = door;
    assert.equal((await ask(lastOf(hub), { path: '/api/v1/pods' })).status, 200);
  });

  test('a hub end that hangs is found out by the next wish', async () => {
    await using hub = await startHub();
    await using state = await makeStateDir();
    await using _agent = startAgent(hub, state);
    let silent = 0;
    // Takes the WebSocket and says nothing on it, as when a hub has lost its power.
    hub.serveLink = (req, socket) => {
      const server = new WebSocketServer({ noServer: true, handleProtocols: () => linkProtocol });
      server.handleUpgrade(req, socket, Buffer.alloc(0), () => {
        silent += 1;
        hub.serveLink = undefined;
      });
      return true;
    };
    hub.wishForLink();
    await eventually('another link is open', () => hub.links.length === 1);
    assert.equal(silent, 1);
    assert.equal((await ask(lastOf(hub), { path: '/api/v1/pods' })).status, 200);
  });
});
