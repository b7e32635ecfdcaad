import { formatAgo } from '../render/age.ts';
import { lifeFacts } from '../site/life-facts.ts';
import type { WhyFacts } from './why-facts.ts';
import type { WhyStep } from './why-step.ts';

/** The link, what is wrong with the site, what holds it, and when its windows open next. */
export function siteSteps(facts: WhyFacts): WhyStep[] {
  return [linkStep(facts), ...faultSteps(facts), ...holdSteps(facts), ...windowSteps(facts)];
}

function linkStep({ site, connectivity, lastSeenTime, now }: WhyFacts): WhyStep {
  const version = site.status?.agent?.version;
  const agent = version === undefined ? '' : `, agent ${version}`;
  const seen = lastSeenTime === undefined ? '' : `, last heard of ${formatAgo(lastSeenTime, now)}`;
  const words = {
    Connected: `in touch${seen}${agent}`,
    Away: `away${seen}${agent}; that is a state, not a fault`,
    Overdue: `silent for longer than the ${site.spec?.connectivity?.expected ?? '24h'} that it may be${seen}${agent}`,
    NeverConnected: 'no agent has ever connected',
  } as const;
  const time = lastSeenTime === undefined ? {} : { time: lastSeenTime };
  const isFault = connectivity === 'Overdue' ? { isFault: true } : {};
  return { topic: 'Site', text: words[connectivity], ...time, ...isFault };
}

function faultSteps({ siteFaults }: WhyFacts): WhyStep[] {
  return siteFaults.map((text): WhyStep => ({ topic: 'Site', text, isFault: true }));
}

function holdSteps({ hold, siteFaults }: WhyFacts): WhyStep[] {
  if (hold === undefined || siteFaults.includes(hold.message)) return [];
  return [{ topic: 'Hold', text: hold.message }];
}

/** Of a site that has windows or blackouts; only while something is still to be fetched or to take over there. */
function windowSteps({ site, delivery, now }: WhyFacts): WhyStep[] {
  if (delivery?.status.state === 'Running' && delivery.status.waiting === undefined) return [];
  const kinds = ['Download', 'Activate'];
  return lifeFacts(site, now)
    .filter(([name]) => kinds.includes(name))
    .map(([name, text]) => ({ topic: 'Window', text: `${name.toLowerCase()} window: ${text}` }));
}
