/** What a strategic merge has to know of a value: which lists have an identity, and where in it they stand. */
export interface MergeSchema {
  readonly properties: ReadonlyMap<string, MergeSchema>;
  /** Values of a map. */
  readonly additionalProperties?: MergeSchema;
  readonly items?: MergeSchema;
  /** `set`: items are scalars and identify themselves; `map`: by the first of `listMapKeys`. */
  readonly listType: 'atomic' | 'set' | 'map';
  readonly listMapKeys: readonly string[];
}
