import { setTimeout as sleep } from 'node:timers/promises';
import { type Figure, figure, median } from '../figure.ts';
import { BenchFleet } from './bench-fleet.ts';

const markSeconds = 1;
const rounds = 3;
/** From the change of the Application to the instant: time for all sites to fetch, check and learn of it. */
const leadMilliseconds = 60_000;
/** How long before the instant the link is cut, and how long after it comes back. */
const cutMilliseconds = 8000;

interface Skew {
  /** Seconds from the first site's activation to the last one's, by the sites' own account. */
  readonly spread: number;
  /** Seconds from the instant that was asked for to the last activation. */
  readonly late: number;
  /** Seconds by which the first activation was before the instant; 0: it was not. */
  readonly early: number;
}

/** How closely together real agents activate a release that was asked for at an instant: with the link, and without. */
export async function measureActivation(
  { agents, data }: { readonly agents: number; readonly data: string | undefined },
  tell: (line: string) => void,
): Promise<Figure[]> {
  tell(`starting the hub and ${agents} agents`);
  await using fleet = await BenchFleet.start(agents, data);
  const linked: Skew[] = [];
  const cut: Skew[] = [];
  for (let round = 1; round <= rounds; round++) {
    tell(`round ${round} of ${rounds}: a release at an instant`);
    linked.push(await activateAt(fleet, { version: `${round}.1`, isCut: false, tell }));
    tell(`round ${round} of ${rounds}: again, the link of all sites cut before the instant`);
    cut.push(await activateAt(fleet, { version: `${round}.2`, isCut: true, tell }));
  }
  return [...figures(`${agents} agents`, linked), ...figures(`${agents} agents, link cut`, cut)];
}

async function activateAt(
  fleet: BenchFleet,
  { version, isCut, tell }: { version: string; isCut: boolean; tell: (line: string) => void },
): Promise<Skew> {
  const at = Math.ceil((Date.now() + leadMilliseconds) / 1000) * 1000;
  const instant = new Date(at).toISOString();
  await fleet.apply(version, {
    waves: [{ name: 'all', percent: 100 }],
    prepare: { threshold: '100%' },
    activate: { when: 'At', at: instant },
  });
  const waiting = await fleet.until('all are prepared and know the instant', ({ status }) => {
    return status.state === 'Prepared' && status.waiting?.reason === 'Instant';
  });
  const left = at - Date.now();
  if (left < 2 * cutMilliseconds)
    throw new Error(`prepared only ${left} ms before the instant: give it more time`);
  const epochs = new Map(waiting.map(({ spec }) => [spec.site, spec.epoch]));
  if (isCut) {
    await sleep(left - cutMilliseconds);
    fleet.link.cut();
    await sleep(2 * cutMilliseconds);
    fleet.link.restore();
  }
  const done = await fleet.until(
    'all have activated it',
    ({ spec, status }) =>
      status.state === 'Running' &&
      status.activatedTime !== undefined &&
      spec.epoch === epochs.get(spec.site),
    600,
  );
  const times = done.map(({ status }) => Date.parse(status.activatedTime ?? ''));
  const [first, last] = [Math.min(...times), Math.max(...times)];
  tell(`first ${first - at} ms, last ${last - at} ms after the instant`);
  return { spread: (last - first) / 1000, late: (last - at) / 1000, early: Math.max(0, at - first) / 1000 };
}

function figures(whose: string, skews: readonly Skew[]): Figure[] {
  const name = (what: string) => `activation at an instant, ${whose}: ${what}`;
  const mark = { atMost: markSeconds };
  const spreads = skews.map(({ spread }) => spread);
  const lates = skews.map(({ late }) => late);
  return [
    figure(name('last after first'), median(spreads), { unit: 's', mark }),
    figure(name('last after the instant'), median(lates), { unit: 's', mark }),
    figure(name('last after the instant, worst round'), Math.max(...lates), { unit: 's' }),
    figure(name('first before the instant'), Math.max(...skews.map(({ early }) => early)), {
      unit: 's',
      mark: { atMost: 0 },
    }),
  ];
}
