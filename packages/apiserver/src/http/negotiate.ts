import { StatusError } from '@selvedge/api';

/** The forms in which an answer can be given. */
export type AnswerForm = 'object' | 'table' | 'metadata';

export interface MediaType {
  readonly type: string;
  readonly parameters: Readonly<Record<string, string>>;
}

export function parseMediaTypes(header: string | undefined): MediaType[] {
  return (header ?? '')
    .split(',')
    .map((text) => text.trim())
    .filter((text) => text !== '')
    .map((text) => {
      const [type = '', ...parameters] = text.split(';').map((part) => part.trim());
      const pairs = parameters.map((part): [string, string] => {
        const equals = part.indexOf('=');
        return equals < 0 ? [part, ''] : [part.slice(0, equals), part.slice(equals + 1)];
      });
      return { type: type.toLowerCase(), parameters: Object.fromEntries(pairs) };
    });
}

const jsonTypes = new Set(['application/json', 'application/*', '*/*']);

/** The first acceptable form, in the client's order. Throws `NotAcceptable`. */
export function negotiateForm(accept: string | undefined): AnswerForm {
  const types = parseMediaTypes(accept);
  if (types.length === 0) return 'object';
  for (const { type, parameters } of types) {
    if (!jsonTypes.has(type)) continue;
    const form = parameters['as'];
    if (form === undefined) return 'object';
    if (parameters['g'] !== 'meta.k8s.io') continue;
    if (form === 'Table') return 'table';
    if (form === 'PartialObjectMetadata' || form === 'PartialObjectMetadataList') return 'metadata';
  }
  throw new StatusError(
    'NotAcceptable',
    'only application/json (also as Table or PartialObjectMetadata of meta.k8s.io) can be answered',
  );
}
