import { type FieldError, fieldInvalid, quantityToNumber, type SiteSpec } from '@selvedge/api';

/** A slower link than this would bring no image in a day. */
const slowestBytesPerSecond = 1_000;
/** Less holds hardly any image. */
const smallestBytes = 10_000_000;

/** `Site.spec.depot`: quantities, and such that make sense. */
export function validateDepot(depot: SiteSpec['depot'], path: string): FieldError[] {
  const { bandwidth, size } = depot ?? {};
  return [
    ...validateQuantity(bandwidth, `${path}.bandwidth`, {
      least: slowestBytesPerSecond,
      must: 'must be bytes a second as a quantity of at least 1k, as in 500k or 2Mi',
    }),
    ...validateQuantity(size, `${path}.size`, {
      least: smallestBytes,
      must: 'must be a quantity of at least 10M, as in 500M or 20Gi',
    }),
  ];
}

function validateQuantity(
  value: string | undefined,
  path: string,
  { least, must }: { least: number; must: string },
): FieldError[] {
  if (value === undefined) return [];
  const bytes = quantityToNumber(value);
  return bytes !== undefined && bytes >= least && Number.isSafeInteger(Math.ceil(bytes))
    ? []
    : [fieldInvalid(path, value, must)];
}
