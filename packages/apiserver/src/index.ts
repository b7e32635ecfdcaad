/**
 * A Kubernetes-style API server that knows no kind itself: everything it serves is given to it as
 * `ResourceDefinition` (objects kept in an `ObjectStore`) or `VirtualResourceDefinition` (read-only rows from
 * elsewhere). Discovery, OpenAPI, validation, tables, watches and field ownership follow from the definitions.
 *
 * Folders follow a request: `http/` reads and answers, `access/` says who and whether, `admission/` what may be
 * stored, `registry/` does it (a file for each verb); `schema/`, `patch/` and `managed-fields/` are pure, `discovery/`
 * tells clients what there is. The registry serves HTTP and the in-process client alike, with the same rules.
 *
 * The only built-in knowledge is that of namespaces: what is created needs a living one, and a deleted one is emptied
 * first.
 */
export { type ApiServer, type ApiServerOptions, createApiServer, type Endpoint } from './api-server.ts';
export type { Authenticator, Credentials } from './authentication/authenticator.ts';
export type {
  Attributes,
  Authorizer,
  Decision,
  PathAttributes,
  ResourceAttributes,
} from './authorization/authorizer.ts';
export type { UserInfo } from './authentication/user-info.ts';
export {
  type HttpRequest,
  type HttpResponse,
  type HttpsServer,
  type HttpsServerOptions,
  type Peer,
  startHttpsServer,
} from './http/https-server.ts';
export { maxObjectBytes } from './admission/limits.ts';
export type {
  AdmissionContext,
  JsonSchema,
  PrinterColumn,
  ResourceDefinition,
  ReviewDefinition,
  SubresourceAction,
  VirtualResourceDefinition,
  VirtualSource,
} from './resource-definition.ts';
