import type { FieldError, KubeObject, ResourceRef } from '@selvedge/api';
import type { ApiRequest, ApiResponse } from './http/exchange.ts';
import type { UserInfo } from './authentication/user-info.ts';
import type { Authorizer } from './authorization/authorizer.ts';

/** JSON Schema with the `x-kubernetes-*` extensions of structural schemas (KEP-1001 and CRD docs). */
export type JsonSchema = Readonly<Record<string, unknown>>;

/** A column of `kubectl get`. `meta.k8s.io/v1 TableColumnDefinition`. */
export interface PrinterColumn {
  readonly name: string;
  readonly type: 'string' | 'integer' | 'boolean' | 'date' | 'number';
  readonly description: string;
  /** 0: always; 1: with `-o wide`. */
  readonly priority?: 0 | 1;
  /** Dates as RFC 3339 (the server prints the age). `undefined` prints as `<none>`. */
  readonly value: (object: KubeObject, now: Date) => string | number | boolean | undefined;
}

/** Everything the server needs to know of one kind. Declared once; the server itself knows no kind. */
export interface ResourceDefinition {
  readonly ref: ResourceRef;
  readonly singular: string;
  readonly shortNames?: readonly string[];
  readonly categories?: readonly string[];
  /** Schema of the whole object below apiVersion, kind and metadata: properties `spec`, `status`, `data`, … */
  readonly schema: JsonSchema;
  readonly description: string;
  readonly columns: readonly PrinterColumn[];
  /** `status` is written through its subresource only. */
  readonly statusSubresource: boolean;
  /** Bodies are encrypted at rest. */
  readonly sensitive?: boolean;
  /** Strategic merge patch (built-in kinds); ours answer 415 as custom resources do. */
  readonly strategicMergePatch?: boolean;
  /** PUT without a resourceVersion overwrites whatever is there; absent: so for the kinds that take strategic merge. */
  readonly unconditionalUpdate?: boolean;
  /** Field selectors beside metadata.name and metadata.namespace: path → value. */
  readonly selectableFields?: Readonly<Record<string, (object: KubeObject) => string>>;
  /** What a name may be: `a.b-c` (the default), `a-b`, or almost anything (roles: `system:discovery`). */
  readonly nameRule?: 'subdomain' | 'label' | 'pathSegment';
  /** Changes an accepted object before validation (merge stringData, fill computed fields). Pure. */
  readonly prepare?: (object: KubeObject, previous: KubeObject | undefined) => KubeObject;
  /** Beyond the schema, on whose types (not on its CEL rules) it may rely. Pure; `previous` on update. */
  readonly validate?: (object: KubeObject, previous: KubeObject | undefined) => readonly FieldError[];
  /**
   * Checks that need other objects or the user; throws StatusError to refuse. Asked for every write that changes
   * anything but status, also metadata alone, unless the object is being deleted.
   */
  readonly admit?: (
    object: KubeObject,
    previous: KubeObject | undefined,
    context: AdmissionContext,
  ) => Promise<void>;
  /** Fills in what is read from elsewhere (status counters, last seen); never stored. */
  readonly decorate?: (objects: readonly KubeObject[]) => Promise<readonly KubeObject[]>;
  /** Named subresources with POST, as `serviceaccounts/token`. */
  readonly actions?: Readonly<Record<string, SubresourceAction | PreviewAction>>;
  /** Named subresources that hand whole requests on, as `nodes/proxy`: any method, any path below them, upgrades too. */
  readonly connect?: Readonly<Record<string, ConnectSubresource>>;
  /** Serves `…/scale` (`autoscaling/v1 Scale`), as in a CustomResourceDefinition. */
  readonly scale?: {
    /** JSON paths such as `.spec.replicas`. */
    readonly specReplicasPath: string;
    readonly statusReplicasPath: string;
    readonly labelSelectorPath?: string;
  };
}

/** Who writes, and what else the rules of a kind may ask. */
export interface AdmissionContext {
  readonly user: UserInfo;
  readonly authorizer: Authorizer;
  readonly dryRun: boolean;
}

/**
 * Hands requests on to somewhere else. Users need the verb of the method (`get` for GET and HEAD, `create` for POST, `update`,
 * `patch`, `delete`), and `create` as well for a request that upgrades.
 */
export interface ConnectSubresource {
  /** Answers one request by itself, or takes its upgrade; resolves when all of it is over. What it throws before is answered as a Status. */
  connect(request: ConnectRequest): Promise<void>;
}

export interface ConnectRequest {
  readonly namespace: string | undefined;
  readonly name: string;
  /** What stands behind the subresource in the URL, exactly as it was sent, with its query: `''`, `/…`, `?…`. Visible ASCII, no `.` or `..` as a segment. */
  readonly rest: string;
  /** The URL up to there. */
  readonly base: string;
  readonly user: UserInfo;
  /** Names the request in the audit log. */
  readonly auditId: string;
  /** The body is not read yet, and may be endless. */
  readonly req: ApiRequest;
  readonly res: ApiResponse;
  /** Fires when the server is about to stop: end it in good order. */
  readonly draining: AbortSignal;
}

/** Does something with an object that is there. The body is what was sent. */
export interface SubresourceAction {
  /** Kind of body and answer, for discovery: `{group, version, kind}`. */
  readonly kind: { readonly group: string; readonly version: string; readonly kind: string };
  readonly invoke: (object: KubeObject, body: unknown, context: AdmissionContext) => Promise<KubeObject>;
}

/**
 * Says what a write would lead to. The body is the whole object as it is to be, which need not exist yet. It goes through
 * everything that a write of it goes through (defaults, validation, admission), and nothing is stored.
 */
export interface PreviewAction {
  /** Kind of the answer, for discovery. */
  readonly kind: { readonly group: string; readonly version: string; readonly kind: string };
  /** What sending `sent` means where `present` is; absent: everything but the metadata that the server keeps is replaced. */
  readonly over?: (sent: KubeObject, present: KubeObject) => KubeObject;
  readonly preview: (change: PreviewedChange, context: AdmissionContext) => Promise<KubeObject>;
}

export interface PreviewedChange {
  /** As it would be stored. */
  readonly object: KubeObject;
  /** As it is; absent: it would be created. */
  readonly previous: KubeObject | undefined;
}

/** A read-only kind that is not stored as objects: its rows come from elsewhere. */
export interface VirtualResourceDefinition
  extends Omit<
    ResourceDefinition,
    'prepare' | 'validate' | 'admit' | 'decorate' | 'actions' | 'connect' | 'sensitive'
  > {
  readonly source: VirtualSource;
  /** The objects are those of a stored kind, and can be written here too (`aliasDefinition`). */
  readonly storedAs?: {
    readonly ref: ResourceRef;
    /** Top-level fields that have another name there: own name → stored name. */
    readonly fieldNames: Readonly<Record<string, string>>;
  };
}

export interface VirtualSource {
  /** All objects of a namespace (or all), with `metadata.resourceVersion` set, and the revision of the snapshot. */
  list(namespace: string | undefined): Promise<{ objects: KubeObject[]; revision: number }>;
  find(namespace: string, name: string): Promise<KubeObject | undefined>;
  /** Changes after `fromRevision`, intermediate states may be skipped, deletions never. */
  watch(query: {
    namespace: string | undefined;
    fromRevision: number;
    signal: AbortSignal;
  }): AsyncIterable<VirtualEvent>;
}

export type VirtualEvent =
  | { readonly type: 'ADDED' | 'MODIFIED' | 'DELETED'; readonly object: KubeObject }
  /** Nothing more up to this revision: watchers may go on from it. From time to time while nothing happens. */
  | { readonly type: 'progress'; readonly revision: number };

/**
 * A kind that is only asked, never stored: it is created, answered, and gone (`SubjectAccessReview`, `TokenReview`).
 * Serves `create` alone.
 */
export interface ReviewDefinition {
  readonly ref: ResourceRef;
  readonly singular: string;
  readonly schema: JsonSchema;
  readonly description: string;
  /** Gets the validated object; returns it with its `status`. */
  readonly review: (object: KubeObject, context: AdmissionContext) => Promise<KubeObject>;
}
