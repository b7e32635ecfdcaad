import type { Clock } from '@selvedge/api';
import type { UserInfo } from '../authentication/user-info.ts';
import type { ApiRequest } from '../http/exchange.ts';
import type { RequestInfo } from '../http/request-info.ts';
import { type AuditPolicy, decideAudit } from './audit-policy.ts';
import { RequestAudit } from './request-audit.ts';

/** Takes the lines of the audit log. Must not wait. */
export interface AuditSink {
  write(line: string): void;
  /** Lines that it gave up, so far. */
  readonly dropped?: number;
}

export interface AuditOptions {
  readonly policy: AuditPolicy;
  readonly sink: AuditSink;
}

export interface AuditorOptions extends AuditOptions {
  readonly clock: Clock;
  /** Bodies of this kind never go to the log, whatever the policy says. */
  readonly isSecret: (info: RequestInfo) => boolean;
  readonly onEvent: () => void;
}

/** Decides what of each request is recorded. */
export class Auditor {
  readonly #o: AuditorOptions;

  constructor(options: AuditorOptions) {
    this.#o = options;
  }

  /** Called when the user is known, or known to be unknown. `undefined`: nothing of this request is recorded. */
  begin(
    request: {
      req: ApiRequest;
      info: RequestInfo;
      auditId: string;
      receivedAt: Date;
      isLongRunning: boolean;
    },
    user: UserInfo | undefined,
  ): RequestAudit | undefined {
    const { policy, isSecret } = this.#o;
    const decision = decideAudit(policy, user ?? nobody, request.info.attributes);
    if (decision.level === 'None') return undefined;
    const level = decision.level !== 'Metadata' && isSecret(request.info) ? 'Metadata' : decision.level;
    return new RequestAudit({ ...request, ...decision, ...this.#o, level, user });
  }
}

const nobody: UserInfo = { name: '', groups: [] };
