import type { ItemReport } from '../sync/sync-protocol.ts';

const dayMs = 86_400_000;
const mega = 1_000_000;

/**
 * How far preparing is, for people: `1 of 3 images, till:1.2 62 % (31.0 of 50.0 MB), done at 02:40`. Times of day are this machine's; one that is
 * a day or more away has its date.
 */
export function formatProgress(progress: NonNullable<ItemReport['progress']>, now: Date): string {
  const { done, total, doneBytes, totalBytes, image, doneAt } = progress;
  const parts = [`${done} of ${total} image${total === 1 ? '' : 's'}`];
  if (doneBytes !== undefined && totalBytes !== undefined) {
    const bytes = `${megabytes(doneBytes)} of ${megabytes(totalBytes)} MB`;
    const percent = totalBytes === 0 ? 100 : Math.floor((doneBytes / totalBytes) * 100);
    parts.push(image === undefined ? bytes : `${shortImage(image)} ${percent} % (${bytes})`);
  }
  if (doneAt !== undefined) parts.push(`done at ${timeOfDay(new Date(doneAt), now)}`);
  return parts.join(', ');
}

/** Without its registry and its digest. */
function shortImage(image: string): string {
  const [name = image, digest] = image.split('@');
  const rest = name.slice(name.lastIndexOf('/') + 1);
  return rest.includes(':') || digest === undefined ? rest : `${rest}@${digest.slice(0, 15)}`;
}

function megabytes(bytes: number): string {
  return (bytes / mega).toFixed(1);
}

function timeOfDay(time: Date, now: Date): string {
  const two = (value: number) => String(value).padStart(2, '0');
  const clock = `${two(time.getHours())}:${two(time.getMinutes())}`;
  if (Math.abs(time.getTime() - now.getTime()) < dayMs) return clock;
  return `${time.getFullYear()}-${two(time.getMonth() + 1)}-${two(time.getDate())} ${clock}`;
}
