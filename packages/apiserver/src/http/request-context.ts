import type { UserInfo } from '../authentication/user-info.ts';
import type { ApiRequest, ApiResponse } from './exchange.ts';
import type { RequestInfo } from './request-info.ts';

/** One authorised request on its way through the endpoints. */
export interface RequestContext {
  readonly req: ApiRequest;
  readonly res: ApiResponse;
  readonly info: RequestInfo;
  /** For whom it acts: the authenticated user, or the one that it impersonates. */
  readonly user: UserInfo;
  /** The whole body, once; throws `RequestEntityTooLarge`, `Timeout`, `BadRequest`. */
  readonly readBody: () => Promise<Buffer>;
  /** Which object it turned out to be about, for the audit log: a creation does not say so in its path. */
  readonly recordObject: (metadata: { readonly name: string; readonly uid?: string }) => void;
  /** What ends a long-running request in good order when the server is about to stop. */
  readonly onDrain: (end: () => void) => void;
  /** A watch calls this when its initial objects are written: from then on it holds no seat. Again: nothing. */
  readonly releaseSeat: () => void;
}
