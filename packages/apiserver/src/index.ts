/**
 * A Kubernetes-style API server. Kinds are given to it as `ResourceDefinition` (objects kept in an `ObjectStore`),
 * `VirtualResourceDefinition` (read-only rows from elsewhere) or `ReviewDefinition` (asked, never stored); discovery,
 * OpenAPI, validation, tables, watches and field ownership follow from the definitions.
 *
 * Folders follow a request: `http/` reads and answers, `authentication/` says who, `authorization/` whether,
 * `flow-control/` when, `admission/` and `quota/` what may be stored, `registry/` does it (a file for each verb),
 * `watch-cache/` is what reads are served from. `schema/` and `managed-fields/` are pure, `discovery/` tells
 * clients what there is, `garbage-collection/` removes what has lost its owner; `audit/`, `metrics/`, `health/` tell
 * operators. The registry serves HTTP and the in-process client alike, with the same rules.
 *
 * It knows the kinds that it reads itself: namespaces, service accounts, roles and bindings, quotas.
 */
export { type ApiServer, type ApiServerOptions, createApiServer, type ServedAccess } from './api-server.ts';
export type { Authenticator, Credentials } from './authentication/authenticator.ts';
export { forThisApi } from './authentication/for-this-api.ts';
export {
  AuthenticationConfigurationError,
  faultOfCertificates,
  faultOfIssuerUrl,
  parseAuthenticationConfiguration,
} from './authentication/oidc/authentication-configuration.ts';
export { OidcAuthenticator } from './authentication/oidc/oidc-authenticator.ts';
export type { OidcIssuer } from './authentication/oidc/oidc-issuer.ts';
export { selfSubjectReviewDefinitions } from './authentication/self-subject-review.ts';
export { openIdDiscovery } from './authentication/service-account/openid-discovery.ts';
export { ServiceAccountAuthenticator } from './authentication/service-account/service-account-authenticator.ts';
export { serviceAccountDefinition } from './authentication/service-account/service-account-definition.ts';
export { signLastingToken } from './authentication/service-account/sign-token.ts';
export {
  generateSigningKeyPem,
  parseSigningKeys,
  type SigningKeys,
  withNewSigningKey,
} from './authentication/service-account/signing-keys.ts';
export { tokenRequestAction } from './authentication/service-account/token-request.ts';
export { splitPem } from './authentication/split-pem.ts';
export { staticTokenAuthenticator } from './authentication/static-token-authenticator.ts';
export { tokenReviewDefinition } from './authentication/token-review.ts';
export { accessDefinitions } from './authorization/access-definitions.ts';
export {
  allow,
  clusterRole,
  type DefaultAccess,
  readVerbs,
  writeVerbs,
} from './authorization/default-roles.ts';
export type {
  Attributes,
  Authorizer,
  Decision,
  PathAttributes,
  ResourceAttributes,
} from './authorization/authorizer.ts';
export type { UserInfo } from './authentication/user-info.ts';
export { AuditLog, type AuditLogOptions } from './audit/audit-log.ts';
export { type AuditPolicy, parseAuditPolicy } from './audit/audit-policy.ts';
export type { AuditOptions, AuditSink } from './audit/auditor.ts';
export { defaultAuditPolicy } from './audit/default-audit-policy.ts';
export { defaultFlowLimits, type FlowLimits } from './flow-control/flow-control.ts';
export type { Health, HealthCheck } from './health/health.ts';
export type { MetricRegistry } from './metrics/metric-registry.ts';
export type { ServerMetrics } from './metrics/server-metrics.ts';
export type { Endpoint } from './http/endpoint.ts';
export type { ApiRequest, ApiResponse, UpgradeOffer } from './http/exchange.ts';
export {
  type HttpsServer,
  type HttpsServerOptions,
  type Peer,
  startHttpsServer,
  type TlsMaterial,
} from './http/https-server.ts';
export { aliasDefinition } from './registry/alias.ts';
export { resourceQuotaDefinition } from './quota/resource-quota-definition.ts';
export { defaultMaxObjectsPerKind } from './quota/object-totals.ts';
export type {
  AdmissionContext,
  ConnectRequest,
  ConnectSubresource,
  JsonSchema,
  PreviewAction,
  PreviewedChange,
  PrinterColumn,
  ResourceDefinition,
  ReviewDefinition,
  SubresourceAction,
  VirtualResourceDefinition,
  VirtualEvent,
  VirtualSource,
} from './resource-definition.ts';
