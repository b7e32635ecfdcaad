import type { UserInfo } from '../authentication/user-info.ts';
import type { ApiRequest, ApiResponse } from './exchange.ts';

/** Served beside the resources, under one exact path. */
export interface Endpoint {
  readonly method: 'GET' | 'POST';
  readonly path: string;
  /** Anybody may read it: answered before authentication, as `/version` is. */
  readonly isPublic?: true;
  /** It may take as long as its client likes (a backup that is streamed): holds no seat, and is not called slow. */
  readonly isLongRunning?: boolean;
  /** Reads the body itself. What it throws is answered as a Status while nothing is written yet. */
  handle(req: ApiRequest, res: ApiResponse, user: UserInfo): Promise<void>;
}
