import { isIP } from 'node:net';
import { type Clock, type StatusError, isStatusError } from '@selvedge/api';
import type { UserInfo } from '../authentication/user-info.ts';
import { decodeBody, mediaTypeOf } from '../http/decode-body.ts';
import type { ApiRequest } from '../http/exchange.ts';
import type { RequestInfo } from '../http/request-info.ts';
import {
  type AuditEvent,
  auditUri,
  auditUser,
  microTime,
  type ObjectReference,
  withoutManagedFields,
} from './audit-event.ts';
import type { AuditDecision, AuditStage } from './audit-policy.ts';
import type { AuditSink } from './auditor.ts';

interface RequestAuditOptions extends AuditDecision {
  readonly req: ApiRequest;
  readonly info: RequestInfo;
  readonly auditId: string;
  readonly receivedAt: Date;
  readonly isLongRunning: boolean;
  readonly user: UserInfo | undefined;
  readonly sink: AuditSink;
  readonly clock: Clock;
  readonly onEvent: () => void;
}

/** Larger bodies are left out of the log, with an annotation that says so. */
const maxBodyBytes = 256 * 1024;
const leftOut = 'audit.selvedge.dev/body-left-out';

/** What is recorded of one request: filled in along its way, written at its stages. */
export class RequestAudit {
  readonly #o: RequestAuditOptions;
  readonly #annotations: Record<string, string> = {};
  readonly #sourceIPs: readonly string[];
  #impersonated: UserInfo | undefined;
  #requestBody: Buffer | undefined;
  #responseBody: Buffer[] | undefined;
  #responseBytes = 0;
  #failure: StatusError | undefined;
  #object: { readonly name?: string; readonly uid?: string } = {};

  constructor(options: RequestAuditOptions) {
    this.#o = options;
    this.#sourceIPs = sourceAddresses(options.req);
    if (options.level === 'RequestResponse' && !options.isLongRunning) this.#responseBody = [];
    this.#stage('RequestReceived');
  }

  impersonates(user: UserInfo): void {
    this.#impersonated = user;
  }

  decided(decision: 'allow' | 'forbid', reason: string): void {
    this.#annotations['authorization.k8s.io/decision'] = decision;
    this.#annotations['authorization.k8s.io/reason'] = reason;
  }

  isAbout({ name, uid }: { readonly name: string; readonly uid?: string }): void {
    this.#object = { name, ...(uid === undefined ? {} : { uid }) };
  }

  get wantsRequestBody(): boolean {
    return this.#o.level !== 'Metadata';
  }

  requestBody(bytes: Buffer): void {
    if (bytes.length <= maxBodyBytes) this.#requestBody = bytes;
    else this.#annotations[leftOut] = `a body has more than ${maxBodyBytes} bytes`;
  }

  get wantsResponseBody(): boolean {
    return this.#responseBody !== undefined;
  }

  responseBody(chunk: Buffer): void {
    this.#responseBytes += chunk.length;
    if (this.#responseBytes <= maxBodyBytes) {
      this.#responseBody?.push(chunk);
      return;
    }
    this.#responseBody = undefined;
    this.#annotations[leftOut] = `a body has more than ${maxBodyBytes} bytes`;
  }

  failed(error: unknown): void {
    if (isStatusError(error)) this.#failure = error;
  }

  responseStarted(code: number): void {
    if (this.#o.isLongRunning) this.#stage('ResponseStarted', code);
  }

  completed(code: number): void {
    this.#stage('ResponseComplete', code);
  }

  panicked(): void {
    this.#stage('Panic', 500);
  }

  #stage(stage: AuditStage, code?: number): void {
    const { omitStages, sink, onEvent } = this.#o;
    if (omitStages.includes(stage)) return;
    sink.write(JSON.stringify(this.#event(stage, code)));
    onEvent();
  }

  #event(stage: AuditStage, code: number | undefined): AuditEvent {
    const { level, auditId, req, info, user, receivedAt, clock } = this.#o;
    const isEnd = stage === 'ResponseComplete';
    const userAgent = req.headers['user-agent'];
    const sourceIPs = this.#sourceIPs;
    const objectRef = objectReference(info, this.#object);
    return {
      kind: 'Event',
      apiVersion: 'audit.k8s.io/v1',
      level,
      auditID: auditId,
      stage,
      requestURI: auditUri(req.url ?? '/'),
      verb: info.attributes.verb,
      user: user ? auditUser(user) : {},
      ...(this.#impersonated ? { impersonatedUser: auditUser(this.#impersonated) } : {}),
      ...(sourceIPs.length > 0 ? { sourceIPs } : {}),
      ...(userAgent === undefined ? {} : { userAgent: userAgent.slice(0, 1024) }),
      ...(objectRef ? { objectRef } : {}),
      ...(code === undefined ? {} : { responseStatus: this.#responseStatus(code) }),
      ...(isEnd ? this.#bodies() : {}),
      requestReceivedTimestamp: microTime(receivedAt),
      stageTimestamp: microTime(clock.now()),
      ...(Object.keys(this.#annotations).length > 0 ? { annotations: this.#annotations } : {}),
    };
  }

  #responseStatus(code: number): NonNullable<AuditEvent['responseStatus']> {
    if (!this.#failure) return { metadata: {}, code };
    const { message, reason } = this.#failure;
    return { metadata: {}, status: 'Failure', message: message.slice(0, 1024), reason, code };
  }

  #bodies(): Pick<AuditEvent, 'requestObject' | 'responseObject'> {
    const type = this.#o.req.headers['content-type'];
    const requestObject = this.#requestBody && this.#tidy(decoded(this.#requestBody, type));
    const response = this.#responseBody && Buffer.concat(this.#responseBody);
    const responseObject = response && this.#tidy(decoded(response, undefined));
    return {
      ...(requestObject === undefined ? {} : { requestObject }),
      ...(responseObject === undefined ? {} : { responseObject }),
    };
  }

  #tidy(value: unknown): unknown {
    return this.#o.omitManagedFields ? withoutManagedFields(value) : value;
  }
}

/** What cannot be read is left out: the answer says that it could not. */
function decoded(bytes: Buffer, contentType: string | undefined): unknown {
  if (bytes.length === 0) return undefined;
  try {
    return decodeBody(bytes, mediaTypeOf(contentType)).value;
  } catch {
    return undefined;
  }
}

function objectReference(
  { attributes }: RequestInfo,
  object: { readonly name?: string; readonly uid?: string },
): ObjectReference | undefined {
  if ('path' in attributes) return undefined;
  const { group, version, resource, subresource, namespace, name } = attributes;
  return {
    resource,
    ...(namespace === undefined ? {} : { namespace }),
    ...(name === undefined ? {} : { name }),
    ...(group === '' ? {} : { apiGroup: group }),
    ...(version === undefined ? {} : { apiVersion: version }),
    ...(subresource === undefined ? {} : { subresource }),
    ...object,
  };
}

/** As Kubernetes: what proxies say, last the address of the connection, which alone is sure. */
function sourceAddresses(req: ApiRequest): string[] {
  const forwarded = [req.headers['x-forwarded-for'], req.headers['x-real-ip']]
    .flatMap((value) => String(value ?? '').split(','))
    .map((text) => text.trim())
    .filter((text) => isIP(text) !== 0)
    .slice(0, 10);
  const peer = peerAddress(req);
  return [...new Set(peer === undefined ? forwarded : [...forwarded, peer])];
}

/** Over HTTP/2 there is nothing to ask any more once the connection is gone. */
function peerAddress(req: ApiRequest): string | undefined {
  try {
    return req.socket?.remoteAddress;
  } catch {
    return undefined;
  }
}
