import type { Clock } from '@selvedge/api';
import { keyFingerprint } from '@selvedge/api/node';
import type { Place } from './admission-control.ts';
import { checkBodyHash, decodeAgentJwt, unauthorized, verifyAgentJwt } from './agent-jwt.ts';
import type { Enrollment } from './enrollment.ts';
import { type HttpExchange, parseJsonBody } from './http-exchange.ts';
import type { ReplayGuard } from './replay-guard.ts';
import { enrollBodyLimitBytes, parseEnrollRequest } from './sync-request.ts';

/** `POST /gateway/v1/enroll`: the agent proves its key by signing, and its right by the token's secret. */
export class EnrollEndpoint {
  readonly #enrollment: Enrollment;
  readonly #replays: ReplayGuard;
  readonly #hubId: string;
  readonly #clock: Clock;

  constructor(options: {
    enrollment: Enrollment;
    replays: ReplayGuard;
    hubId: string;
    clock: Clock;
  }) {
    this.#enrollment = options.enrollment;
    this.#replays = options.replays;
    this.#hubId = options.hubId;
    this.#clock = options.clock;
  }

  async handle(exchange: HttpExchange, place: Place): Promise<void> {
    const jwt = decodeAgentJwt(exchange.header('authorization'));
    const body = await place.outside(() => exchange.readBody(enrollBodyLimitBytes));
    const request = parseEnrollRequest(parseJsonBody(body));
    const fingerprint = keyFingerprint(request.publicKey);
    if (jwt.keyFingerprint !== fingerprint) {
      throw unauthorized(
        `the agent token is signed by key ${jwt.keyFingerprint}, the request is for key ${fingerprint}`,
      );
    }
    if (jwt.site !== '') throw unauthorized('at enrolment the agent token has an empty issuer (claim "iss")');
    const claims = verifyAgentJwt(jwt, {
      publicKey: request.publicKey,
      audience: this.#hubId,
      now: this.#clock.now(),
    });
    checkBodyHash(claims, body);
    const token = await this.#enrollment.getToken(request);
    // Only who knows the secret may fill this memory.
    if (claims.jti === undefined)
      throw unauthorized('at enrolment the agent token needs an id (claim "jti")');
    if (!this.#replays.isFirstUse(`${fingerprint} ${claims.jti}`, claims.expiresAt)) {
      throw unauthorized('this enrolment request was sent before (claim "jti"): sign a new one');
    }
    const applicant = { publicKey: request.publicKey, keyFingerprint: fingerprint, agent: request.agent };
    const response = await this.#enrollment.enroll(token, applicant);
    exchange.answer({ code: response.status === 'Pending' ? 202 : 200, body: response });
  }
}
