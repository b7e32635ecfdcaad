import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import {
  type Application,
  applications,
  type Delivery,
  deliveries,
  type Release,
  releases,
  type Rollout,
  rollouts,
  type Site,
  sites,
} from '@selvedge/api';
import type { Lab } from './lab.ts';
import type { PageContent } from './lab-site.ts';
import { poll } from './poll.ts';

const examples = join(import.meta.dirname, '../../examples/quickstart');

export const mainJobSites = ['cloud', 'shop-1', 'shop-2'] as const;
export const mainJobPagePorts: Readonly<Record<string, number>> = {
  cloud: 18080,
  'shop-1': 18081,
  'shop-2': 18082,
};

/** The application of examples/quickstart on its way to the three sites of a lab. */
export class MainJob {
  readonly #lab: Lab;
  readonly #image: string;

  /** `image` by digest. */
  constructor(lab: Lab, image: string) {
    this.#lab = lab;
    this.#image = image;
  }

  /** examples/quickstart/sites.yaml with the ports that are free on this machine. */
  async sitesYaml(): Promise<string> {
    let text = await readFile(join(examples, 'sites.yaml'), 'utf8');
    for (const [site, port] of Object.entries(mainJobPagePorts)) {
      text = text.replace(`port: ${port}\n`, `port: ${this.#lab.pagePorts[site] ?? port}\n`);
    }
    return text;
  }

  /** examples/quickstart/application.yaml with the image by digest. */
  async applicationYaml(edition = 'First edition'): Promise<string> {
    const text = await readFile(join(examples, 'application.yaml'), 'utf8');
    return text
      .replace('image: IMAGE', `image: ${this.#image}`)
      .replace('EDITION: First edition', `EDITION: ${edition}`);
  }

  /** The same with a program that starts, says why it cannot go on, and ends: nothing of the manifests shows that. */
  async brokenApplicationYaml(edition: string): Promise<string> {
    const crash = `["/bin/sh", "-c", "echo 'the price list is missing' >&2; exit 1"]`;
    const yaml = await this.applicationYaml(edition);
    return yaml.replace(/^( +)(image: .*)$/m, `$1$2\n$1command: ${crash}`);
  }

  /** An application file that a person may have changed, with the image of today. */
  withImage(yaml: string): string {
    return yaml.replace(/image: 127\.0\.0\.1:\d+\/page@\S+/, `image: ${this.#image}`);
  }

  application(): Promise<Application> {
    return this.#lab.client.get<Application>(applications, { namespace: 'shop', name: 'page' });
  }

  async deliveries(): Promise<Delivery[]> {
    return (await this.#lab.client.list<Delivery>(deliveries, { namespace: 'shop' })).items;
  }

  /** The site that tries a release first: the same for every rollout of one application. */
  async canary(): Promise<string> {
    const found = (await this.deliveries()).find(({ spec }) => spec.wave === 'canary');
    return found?.spec.site ?? mainJobSites[0];
  }

  /** The rollout that the application speaks of. */
  async rollout(): Promise<Rollout> {
    const { status } = await this.application();
    if (status?.rollout === undefined) throw new Error('the application names no rollout yet');
    return await this.#lab.client.get<Rollout>(rollouts, { namespace: 'shop', name: status.rollout });
  }

  release(name: string): Promise<Release> {
    return this.#lab.client.get<Release>(releases, { namespace: 'shop', name });
  }

  site(name: string): Promise<Site> {
    return this.#lab.client.get<Site>(sites, { name });
  }

  /** Until the hub knows each of these sites to be connected. */
  async waitConnected(names: readonly string[], seconds = 60): Promise<void> {
    await poll(
      async () => {
        for (const name of names) this.#lab.site(name).assertAgentRuns();
        const found = await Promise.all(names.map((name) => this.site(name)));
        return found.every((site) => site.status?.connectivity === 'Connected') ? true : undefined;
      },
      {
        seconds,
        what: `${names.join(', ')} connected`,
        everyMilliseconds: 100,
        why: () => this.explain(names),
      },
    );
  }

  /** Until the hub reports the newest release Running at these sites, and their pages say this edition. */
  async waitRunning(names: readonly string[], edition: string, seconds = 120): Promise<void> {
    await poll(
      async () => {
        const { metadata, status } = await this.application();
        if (status?.observedGeneration !== metadata.generation) return undefined;
        const newest = (await this.deliveries()).filter(({ spec }) => spec.release === status?.release);
        throwIfHopeless(newest.filter(({ spec }) => names.includes(spec.site)));
        const running = newest.filter(
          ({ spec, status: said }) => said.state === 'Running' && said.runningRelease === spec.release,
        );
        return names.every((name) => running.some(({ spec }) => spec.site === name)) ? true : undefined;
      },
      {
        seconds,
        what: `Running at ${names.join(', ')}`,
        everyMilliseconds: 100,
        why: () => this.explain(names),
      },
    );
    await Promise.all(names.map((name) => this.waitPage(name, (page) => page.edition === edition, 30)));
  }

  /** Until the page of a site answers as wanted. */
  waitPage(name: string, isWanted: (page: PageContent) => boolean, seconds = 120): Promise<PageContent> {
    return poll(
      async () => {
        const page = await this.#lab.site(name).findPage();
        return page !== undefined && isWanted(page) ? page : undefined;
      },
      { seconds, what: `the page of ${name} as wanted`, why: () => this.explain([name]) },
    );
  }

  /** What a person would look at first: for the message when a wait was in vain. */
  async explain(names: readonly string[]): Promise<string> {
    const { kubectl, sites } = this.#lab;
    const parts = [
      ...(kubectl.path === undefined
        ? []
        : [
            await kubectl.try(
              'get',
              'sites,applications,rollouts,deliveries',
              '--all-namespaces',
              '-o',
              'wide',
            ),
          ]),
      await this.#lab.trySelvedge('status'),
      ...(await Promise.all(
        names.map((name) => this.#lab.trySelvedge('why', name, 'page', '--namespace', 'shop')),
      )),
    ].map(({ stdout, stderr }) => `${stdout}${stderr}`.trimEnd());
    for (const name of names) parts.push(`agent of ${name}:\n${await sites.get(name)?.agentLog()}`);
    parts.push(await this.#lab.hub.lastLines());
    return parts.join('\n\n');
  }
}

/** A release that a site refused, or that failed there, does not run for being waited for. */
function throwIfHopeless(deliveries: readonly Delivery[]): void {
  const bad = deliveries.find(({ status }) => status.state === 'Refused' || status.state === 'Failed');
  if (bad === undefined) return;
  const { state, reason, message, logs } = bad.status;
  throw new Error([`${bad.spec.site}: ${state}: ${reason}: ${message}`, ...(logs ?? [])].join('\n  '));
}
