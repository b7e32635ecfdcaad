import type { Condition, Site, SiteReport, SyncRequest } from '@selvedge/api';
import { isHubBehind } from '../resources/site-hold.ts';

export type Finding = Omit<Condition, 'lastTransitionTime'>;

/** What of a contact its conditions follow from. */
export interface ContactState {
  readonly request: Pick<SyncRequest, 'epoch' | 'stateDigest' | 'refusal' | 'site'>;
  readonly hub: { readonly epoch: number; readonly stateDigest: string };
  /** `Store.instance`. */
  readonly instance: string;
}

/**
 * What holds now, as conditions of the Site; only those that a contact decides. A condition that was never needed is not made just
 * to say that all is well. Pure.
 */
export function contactFindings(site: Site, contact: ContactState): Finding[] {
  const { request } = contact;
  const findings = [behindFinding(site, contact), acceptedFinding(request.refusal)];
  // The site speaks of these only when something about them changed.
  if (request.site !== undefined) {
    findings.push(
      twoHubsFinding(site, request.site.hubInstances ?? [], contact.instance),
      refusedRemovalFinding(request.site.refusedRemovals ?? []),
    );
  }
  const statusOf = (type: string) => site.status?.conditions?.find((c) => c.type === type)?.status;
  // That all is well is said once, when it becomes so; whoever made it so may have said it better.
  return findings.filter((finding) => {
    const present = statusOf(finding.type);
    return isFault(finding) || (present !== undefined && present !== finding.status);
  });
}

/**
 * A hub that is behind stays so until the site proves to follow what the hub wants, or a person decides: its epochs may grow past
 * those of the site, and still be an older story.
 */
function behindFinding(site: Site, { request, hub }: ContactState): Finding {
  const type = 'HubBehind';
  const isInStep = request.epoch === hub.epoch && request.stateDigest === hub.stateDigest;
  if (request.epoch > hub.epoch || (isHubBehind(site) && request.epoch > 0 && !isInStep)) {
    const shown = site.status?.hubBehind?.agentEpoch;
    return shown === undefined
      ? hubBehindClaim(site.metadata.name, request.epoch)
      : hubBehindFinding(site.metadata.name, shown);
  }
  const reason = request.epoch === 0 ? 'SiteHoldsNothing' : 'InStep';
  return { type, status: 'False', reason, message: 'The site follows no state that the hub does not know.' };
}

/** The site says so, and has not shown it yet. */
function hubBehindClaim(name: string, epoch: number): Finding {
  return {
    type: 'HubBehind',
    status: 'True',
    reason: 'AgentClaimsNewerState',
    message:
      `The site says that it follows desired state of epoch ${epoch}, which this hub does not know, and has not shown it yet. ` +
      'That comes at once when the hub was restored from an old backup. Until then it is sent nothing. ' +
      `If it never comes: "selvedge site override ${name}" makes the site follow this hub, or revoke its key (spec.revokedKeys).`,
  };
}

/** The site follows a state that this hub's own memory does not lead to. */
export function hubBehindFinding(name: string, epoch: number): Finding {
  return {
    type: 'HubBehind',
    status: 'True',
    reason: 'AgentHasNewerState',
    message:
      `The site follows desired state of epoch ${epoch}, which this hub does not know: was the hub restored from an old backup? ` +
      'The site goes on with what it has and is sent nothing. ' +
      `"selvedge site adopt ${name}" takes what it runs as the truth, "selvedge site override ${name}" makes it follow this hub.`,
  };
}

function acceptedFinding(refusal: SyncRequest['refusal']): Finding {
  const type = 'DesiredStateAccepted';
  if (refusal === undefined) {
    return { type, status: 'True', reason: 'Accepted', message: 'The agent accepts the desired state.' };
  }
  const { reason, message, epoch } = refusal;
  return {
    type,
    status: 'False',
    reason,
    message: `The agent refused the desired state of epoch ${epoch}: ${message}`,
  };
}

type HubInstances = NonNullable<SiteReport['hubInstances']>;

/** The same facts make the same message, however often they are told. */
function twoHubsFinding(site: Site, instances: HubInstances, own: string): Finding {
  const type = 'TwoHubs';
  if (instances.length < 2) {
    return { type, status: 'False', reason: 'OneHub', message: 'One hub answers the site.' };
  }
  const told = keptInstances(site.status?.hubInstances, instances).map(
    ({ instance, lastSeenTime }) =>
      `${instance}${instance === own ? ' (this one)' : ''}, last at ${lastSeenTime}`,
  );
  return {
    type,
    status: 'True',
    reason: 'InstancesTakeTurns',
    message:
      `Two hubs with the same identity answer the site in turns: ${told.join('; ')}. ` +
      'One of them is a copy, or the one that a backup was made of: stop it. ' +
      'Ask each for this Site to see which is which, and keep the one that has what you last applied.',
  };
}

function refusedRemovalFinding(refused: NonNullable<SiteReport['refusedRemovals']>): Finding {
  const type = 'RemovalRefused';
  if (refused.length === 0) {
    return { type, status: 'False', reason: 'NothingRefused', message: 'The site refuses no removal.' };
  }
  const [first] = refused;
  const shown = refused
    .slice(0, maxToldRemovals)
    .map(({ id, reason, message }) => `${id} (${reason}: ${message})`);
  const more = refused.length > shown.length ? ` and ${refused.length - shown.length} more` : '';
  return {
    type,
    status: 'True',
    reason: first?.reason ?? type,
    message: `The site did not remove ${shown.join(', ')}${more}. It all runs on there.`.slice(0, 8_000),
  };
}

const maxToldRemovals = 5;
const instanceToleranceMilliseconds = 600_000;

/** What is told of instances: as it was, unless another one came or the times moved by ten minutes. */
export function keptInstances(present: HubInstances | undefined, told: HubInstances): HubInstances {
  const isSame =
    present?.length === told.length &&
    told.every(({ instance, lastSeenTime }) => {
      const known = present.find((p) => p.instance === instance);
      const moved = Math.abs(Date.parse(known?.lastSeenTime ?? '') - Date.parse(lastSeenTime));
      return moved < instanceToleranceMilliseconds;
    });
  return isSame ? present : told;
}

const faultStatus: Readonly<Record<string, Condition['status']>> = { DesiredStateAccepted: 'False' };

export function isFault({ type, status }: Finding): boolean {
  return status === (faultStatus[type] ?? 'True');
}
