import { type Clock, isConflict, type ObjectClient, type Site, StatusError, sites } from '@selvedge/api';
import type { FleetStore } from '@selvedge/store';
import { type RecoveryAction, recoveryChanges } from './recovery-changes.ts';
import { isHubBehind } from './site-hold.ts';

export interface RecoveryOptions {
  readonly client: () => ObjectClient;
  readonly fleet: FleetStore;
  readonly clock: Clock;
}

const maxAttempts = 5;

/**
 * The actions `sites/adopt` and `sites/override`: keeps the wish on the Site (`status.recovery`) and returns it. It is done with
 * the site's next contact, at whatever hub: at once when it is in touch. Throws `Conflict` when the site is in step with the hub.
 */
export async function requestRecovery(
  options: RecoveryOptions,
  site: Site,
  { action, user, dryRun }: { action: RecoveryAction; user: string; dryRun: boolean },
): Promise<Site> {
  const { name } = site.metadata;
  const { rows } = await options.fleet.listDeliveries({ site: name });
  let present = site;
  for (let attempt = 1; ; attempt++) {
    const { status } = present;
    if (!isHubBehind(present)) {
      throw new StatusError(
        'Conflict',
        `site "${name}" follows nothing that this hub does not know (no condition HubBehind): there is nothing to ${action.toLowerCase()}`,
      );
    }
    const { recovery } = status ?? {};
    if (!dryRun && recovery?.state === 'Requested' && recovery.action === action) return present;
    const known = status?.hubBehind;
    const wished: Site = {
      ...present,
      status: {
        ...status,
        recovery: {
          action,
          state: 'Requested',
          requestedBy: user,
          requestedTime: options.clock.now().toISOString(),
          message: messageFor(site),
          ...(known === undefined ? {} : { changes: recoveryChanges(action, known, rows) }),
        },
      },
    };
    if (dryRun) return wished;
    try {
      return await options.client().updateStatus(sites, wished);
    } catch (error) {
      if (!isConflict(error) || attempt === maxAttempts) throw error;
      present = await options.client().get<Site>(sites, { name });
    }
  }
}

function messageFor({ status }: Site): string {
  if (status?.connectivity === 'Connected') return 'The site is asked for what it follows; then it is done.';
  const since = status?.lastSeenTime === undefined ? '' : ` since ${status.lastSeenTime}`;
  return `The site is silent${since}: it is done when it comes back.`;
}
