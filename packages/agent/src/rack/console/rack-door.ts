import { Readable } from 'node:stream';
import { StatusError } from '@selvedge/api';
import type { LinkAnswer, LinkCall, LinkDoor, LinkUpgrade } from '../../link/link-door.ts';
import type { MachineConsole, RackConsoles } from './machine-console.ts';

const prefix = '/rack/';
/** `/rack/v1/machines/UID/console|log`. */
const pattern = /^\/rack\/v1\/machines\/(?<uid>[0-9a-f-]{36})\/(?<what>console|log)$/;

/**
 * The door of a site that has a rack: what begins with `/rack/` is asked of the rack, all else of the door behind. `…/console` is attached to as to a pod (WebSocket
 * or SPDY/3.1), `…/log` is text.
 */
export function withRackDoor(behind: LinkDoor, rack: RackConsoles): LinkDoor {
  return {
    answer: (call, body) => (isOfRack(call) ? answer(rack, call, body) : behind.answer(call, body)),
    upgrade: (call, protocol) =>
      isOfRack(call) ? upgrade(rack, call, protocol) : behind.upgrade(call, protocol),
  };
}

const isOfRack = ({ path }: LinkCall): boolean => path.startsWith(prefix);

function find(rack: RackConsoles, path: string): { console: MachineConsole; what: string } {
  const groups = pattern.exec(path.split('?', 1)[0] ?? '')?.groups;
  if (!groups) throw new StatusError('NotFound', 'the rack has consoles and logs of machines, nothing else');
  const console = rack.console(groups['uid'] ?? '');
  if (!console) throw new StatusError('NotFound', 'the rack of this site does not know this machine yet');
  return { console, what: groups['what'] ?? '' };
}

// oxlint-disable-next-line require-await
async function answer(rack: RackConsoles, { path, method }: LinkCall, body: Readable): Promise<LinkAnswer> {
  body.resume();
  const { console, what } = find(rack, path);
  if (what === 'console') {
    throw new StatusError(
      'BadRequest',
      'a console needs a connection that is upgraded to WebSocket or SPDY/3.1',
    );
  }
  if (method !== 'GET') throw new StatusError('MethodNotAllowed', 'a log is read with GET');
  const headers = { 'content-type': 'text/plain; charset=utf-8' };
  return { status: 200, headers, body: Readable.from([Buffer.from(console.log)]) };
}

async function upgrade(rack: RackConsoles, call: LinkCall, protocol: string): Promise<LinkUpgrade> {
  const { console, what } = find(rack, call.path);
  if (what !== 'console') throw new StatusError('BadRequest', 'a log cannot be upgraded');
  const { openStreams } = await import('../../link/streams/open-streams.ts');
  const { ConsoleBackend } = await import('./console-backend.ts');
  const query = new URLSearchParams(call.path.split('?')[1] ?? '');
  const { headers, signal } = call;
  return await openStreams({ verb: 'attach', query, headers, protocol, signal }, new ConsoleBackend(console));
}
