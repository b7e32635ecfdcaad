import { printable } from '@selvedge/api';
import type { DepotList, VerifiedDepot } from '../depot/list-depot.ts';
import { formatTable } from './format-table.ts';

/** `selvedge-agent depot list`, for people. */
export function formatDepotList({ images, blobs, totalBytes }: DepotList): string {
  if (images.length === 0 && blobs.length === 0) return 'The depot is empty.\n';
  const rows = images.map((image) => {
    const share = image.sizeBytes === 0 ? 100 : Math.floor((image.hereBytes / image.sizeBytes) * 100);
    const isDigest = image.name.includes('@');
    return [
      printable(isDigest && image.tag !== undefined ? `${image.name} (${image.tag})` : image.name),
      megabytes(image.sizeBytes),
      image.hereBytes === image.sizeBytes ? 'whole' : `${share} %`,
      image.isNeeded ? 'yes' : 'no',
      image.lastUsedTime,
    ];
  });
  const lines = formatTable([['IMAGE', 'SIZE', 'HERE', 'NEEDED', 'LAST USED'], ...rows]);
  return `${[...lines, '', `${blobs.length} blobs, ${megabytes(totalBytes)}`].join('\n')}\n`;
}

export function formatVerifiedDepot({ blobs, bytes, removed, images }: VerifiedDepot): string {
  if (removed.length === 0)
    return `${blobs} blobs, ${megabytes(bytes)}: all of them are as their digests say.\n`;
  return `${[
    `${removed.length} of ${blobs} blobs were damaged and are removed; what is needed of them is fetched again:`,
    ...removed.map((digest) => `  ${digest}`),
    ...(images.length === 0
      ? []
      : ['Images that lost something:', ...images.map((name) => `  ${printable(name)}`)]),
    'Look after the disk: a sound one does not change files.',
  ].join('\n')}\n`;
}

function megabytes(bytes: number): string {
  return `${(bytes / 1_000_000).toFixed(1)} MB`;
}
