import type { DesiredItem, SealedName } from '@selvedge/api';
import type { UnnumberedReport } from '../state/report-book.ts';
import type { ContentTrouble } from './compose-report.ts';
import type { ItemLife } from './item-life.ts';
import { type ItemMemory, neededDigests } from './item-memory.ts';
import type { FoundSecrets, ItemSecrets } from './item-secrets.ts';

/** Which versions of its Secrets an item runs a release with: those that it holds, where that is the active one. */
export function secretsFor(
  { id, memory, given }: ItemLife,
  digest: string,
  secrets: ItemSecrets,
): FoundSecrets {
  const kept = digest === memory.active?.digest ? memory.secrets : undefined;
  return secrets.find(id, digest, { kept, given: given?.versions });
}

/** What is on hold keeps the values that it has, also when others come. */
export function withHeldSecrets({ id, memory, given }: ItemLife, secrets: ItemSecrets): ItemMemory {
  const { active } = memory;
  if (active === undefined || memory.secrets !== undefined) return memory;
  const isGiven = given?.digest === active.digest;
  const versions = isGiven
    ? given.versions
    : secrets.find(id, active.digest, { given: given?.versions }).versions;
  return Object.keys(versions).length === 0 ? memory : { ...memory, secrets: versions };
}

/** Every sealed value that something of an item may be resolved with: what runs, what is wanted, what it goes back to. */
export function neededSecrets(
  { id, memory, given }: ItemLife,
  { wanted, secrets }: { wanted: DesiredItem | undefined; secrets: ItemSecrets },
): SealedName[] {
  const digests = new Set(neededDigests(memory));
  if (wanted !== undefined) digests.add(wanted.digest);
  if (wanted?.terms.fallback !== undefined) digests.add(wanted.terms.fallback.digest);
  const found = [...digests].map((digest) => secrets.find(id, digest, { given: given?.versions }).versions);
  return [memory.secrets ?? {}, given?.versions ?? {}, ...found].flatMap((versions) =>
    secrets.namesOf(id, versions),
  );
}

/** Undefined when every Secret is here. */
export function secretTrouble(
  life: ItemLife,
  digest: string,
  { secrets, last, now }: { secrets: ItemSecrets; last: UnnumberedReport | undefined; now: Date },
): ContentTrouble | undefined {
  const { missing } = secretsFor(life, digest, secrets);
  if (missing.length === 0) return undefined;
  const reason = 'SecretMissing';
  const isSame = last?.digest === digest && last.reason === reason;
  const sinceTime = isSame ? last.sinceTime : now.toISOString();
  return { reason, message: secrets.describeMissing(life.id, missing), sinceTime };
}
