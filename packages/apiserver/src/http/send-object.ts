import { type KubeObject, StatusError } from '@selvedge/api';
import { servedForm } from '../registry/alias.ts';
import type { Resource } from '../registry/resource-catalog.ts';
import type { ApiRequest } from './exchange.ts';
import { presenterFor } from './presenter.ts';
import type { Call } from './resource-call.ts';
import { send } from './respond.ts';

/** Answers with an object in the form that the client asked for, and with the warnings of the call. */
export function sendObject(call: Call, object: KubeObject, status: number): void {
  call.recordObject(object.metadata);
  const { served, resource } = call;
  const servedObject = served === resource ? object : servedForm(served, object);
  const text = presenterFor({ ...call, resource: served }).object(servedObject);
  send(call.res, Buffer.from(`${text}\n`), { status, headers: warningsOf(call) });
}

/** Header of the answer. */
export function warningsOf({ warnings }: Pick<Call, 'warnings'>): Record<string, string[]> {
  return warnings.size > 0 ? { Warning: [...warnings].slice(0, 20).map(warningHeader) } : {};
}

/** RFC 7234 §5.5, in what a header may hold whatever a field is called. */
function warningHeader(text: string): string {
  const printable = text.slice(0, 500).replace(/[^\x20-\x7e]/g, '?');
  return `299 - ${JSON.stringify(printable)}`;
}

export const unknownResource = (): StatusError =>
  new StatusError('NotFound', 'the server could not find the requested resource');

export function methodNotAllowed(req: ApiRequest, resource?: Resource): StatusError {
  const on = resource ? ` on ${resource.name}` : '';
  return new StatusError('MethodNotAllowed', `${req.method} is not supported${on} at this path`);
}
