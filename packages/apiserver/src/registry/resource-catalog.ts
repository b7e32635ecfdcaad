import { apiVersionOf, type KubeObject, type ResourceRef, resourceName } from '@selvedge/api';
import type {
  ConnectSubresource,
  PreviewAction,
  ResourceDefinition,
  ReviewDefinition,
  SubresourceAction,
  VirtualResourceDefinition,
  VirtualSource,
} from '../resource-definition.ts';
import { compileSchemaRules, type SchemaRules } from '../admission/cel/schema-rules.ts';
import { objectSchema } from '../schema/object-schema.ts';
import type { StructuralSchema } from '../schema/structural-schema.ts';

/** One served kind: its definition with what follows from it. */
export interface Resource {
  readonly definition: Omit<ResourceDefinition, 'decorate'>;
  readonly ref: ResourceRef;
  /** `plural` or `plural.group`. */
  readonly name: string;
  readonly apiVersion: string;
  /** Of the whole object. */
  readonly schema: StructuralSchema;
  /** The CEL rules in the schema. */
  readonly rules: SchemaRules | undefined;
  /** A kind of Kubernetes' own: such read null as absent, and most have no generation. */
  readonly isBuiltIn: boolean;
  /** Present when the kind is virtual: read-only, rows from elsewhere. */
  readonly source: VirtualSource | undefined;
  /** Present when the objects are those of a stored kind under other names: writes go there. */
  readonly storedAs: VirtualResourceDefinition['storedAs'];
  /** Present when the kind is only asked, never stored: serves `create` alone. */
  readonly review: ReviewDefinition['review'] | undefined;
  readonly actions: Readonly<Record<string, SubresourceAction | PreviewAction>>;
  /** Subresources that hand requests on. */
  readonly connect: Readonly<Record<string, ConnectSubresource>>;
  /** Fills in what is read from elsewhere. */
  readonly decorate: (objects: readonly KubeObject[]) => Promise<readonly KubeObject[]>;
  /** Whether it fills in anything at all. */
  readonly isDecorated: boolean;
}

/** All served kinds, by group, version and plural. */
export class ResourceCatalog {
  readonly all: readonly Resource[];
  readonly #byPath: ReadonlyMap<string, Resource>;

  constructor(definitions: readonly (ResourceDefinition | VirtualResourceDefinition | ReviewDefinition)[]) {
    this.all = definitions.map(toResource);
    this.#byPath = new Map(this.all.map((r) => [pathOf(r.ref), r]));
    if (this.#byPath.size !== this.all.length)
      throw new Error('two definitions have the same group, version and plural');
  }

  find(ref: Pick<ResourceRef, 'group' | 'version' | 'plural'>): Resource | undefined {
    return this.#byPath.get(pathOf(ref));
  }

  /** Groups in order of definition, the core group ('') first. */
  groups(): Map<string, Resource[]> {
    const groups = Map.groupBy(this.all, (r) => r.ref.group);
    const core = groups.get('');
    return core ? new Map([['', core], ...groups]) : groups;
  }
}

const pathOf = (ref: Pick<ResourceRef, 'group' | 'version' | 'plural'>) =>
  `${ref.group}/${ref.version}/${ref.plural}`;

/** The subresource that hands requests on, if it is one. */
export function connectOf(resource: Resource, subresource: string): ConnectSubresource | undefined {
  return Object.hasOwn(resource.connect, subresource) ? resource.connect[subresource] : undefined;
}

/** A definition with what follows from it. */
export function toResource(
  given: ResourceDefinition | VirtualResourceDefinition | ReviewDefinition,
): Resource {
  const definition = 'review' in given ? { ...given, columns: [], statusSubresource: false } : given;
  const decorate = 'decorate' in definition ? definition.decorate : undefined;
  const schema = objectSchema(definition);
  const isSensitive = 'sensitive' in definition && definition.sensitive === true;
  return {
    definition,
    ref: definition.ref,
    name: resourceName(definition.ref),
    apiVersion: apiVersionOf(definition.ref),
    schema,
    rules: compileSchemaRules(schema, { kind: definition.ref.kind, isSensitive }),
    isBuiltIn: definition.strategicMergePatch ?? false,
    source: 'source' in definition ? definition.source : undefined,
    storedAs: 'storedAs' in definition ? definition.storedAs : undefined,
    review: 'review' in given ? given.review : undefined,
    actions: ('actions' in definition ? definition.actions : undefined) ?? {},
    connect: ('connect' in definition ? definition.connect : undefined) ?? {},
    decorate: decorate ?? (async (objects) => objects),
    isDecorated: decorate !== undefined,
  };
}
