/** What has to be known of a value to read it with CEL and to tell what that costs. Structural schemas of the API server are such. */
export interface CelSchema {
  readonly type: 'object' | 'array' | 'string' | 'integer' | 'number' | 'boolean' | 'any';
  /** With type `any`: the value is one of these scalars. */
  readonly alternatives?: readonly CelSchema[];
  readonly format?: string;
  readonly enum?: readonly unknown[];
  readonly nullable: boolean;
  readonly limits: {
    readonly maxItems?: number;
    readonly maxLength?: number;
    readonly maxProperties?: number;
  };
  readonly properties: ReadonlyMap<string, CelSchema>;
  /** Values of a map. */
  readonly additionalProperties?: CelSchema;
  readonly items?: CelSchema;
  readonly preserveUnknownFields: boolean;
  readonly intOrString: boolean;
}

export function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
