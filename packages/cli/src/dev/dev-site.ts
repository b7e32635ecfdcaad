import { randomBytes } from 'node:crypto';
import {
  isAlreadyExists,
  type Machine,
  machineImages,
  type MachineImage,
  machines,
  type Secret,
  secrets,
  type Site,
  sites,
} from '@selvedge/api';
import type { HttpClient } from '@selvedge/kube';
import { CommandError } from '../program/exit-code.ts';
import { type DevBmc, type DevBox, devLabel, devMachineSpec } from './dev-boxes.ts';

const secretNamespace = 'default';

/** The login of the BMCs, made once for each site: `Secret/default/SITE-dev-bmc`. */
export async function ensureBmcLogin(
  client: HttpClient,
  site: string,
): Promise<{ secret: DevBmc['secret']; username: string; password: string }> {
  const secret = { namespace: secretNamespace, name: `${site}-dev-bmc` };
  const present = await client.find<Secret>(secrets, secret);
  if (present !== undefined) {
    const read = (key: string) => Buffer.from(present.data?.[key] ?? '', 'base64').toString();
    return { secret, username: read('username'), password: read('password') };
  }
  const login = { username: 'dev', password: randomBytes(18).toString('base64url') };
  const data = Object.fromEntries(
    Object.entries(login).map(([key, value]) => [key, Buffer.from(value).toString('base64')]),
  );
  const wanted: Secret = {
    apiVersion: 'v1',
    kind: 'Secret',
    metadata: { ...secret, labels: { [devLabel]: site } },
    type: 'Opaque',
    data,
  };
  await client.create<Secret>(secrets, wanted);
  return { secret, ...login };
}

/**
 * The Site, made when it is not there: its rack answers on this machine's loopback, beside the DHCP server of QEMU.
 * @returns whether its agent is in touch.
 */
export async function ensureDevSite(
  client: HttpClient,
  name: string,
): Promise<{ isNew: boolean; site: Site }> {
  const present = await client.find<Site>(sites, { name });
  if (present !== undefined) {
    if (present.spec?.rack !== undefined) return { isNew: false, site: present };
    throw new CommandError(
      `Site ${name} has no rack: spec.rack is missing`,
      'Give --site another name (one that is not there yet is made), or add spec.rack to it.',
    );
  }
  const network = { name: 'dev', interface: 'lo', dhcp: 'External' as const, address: '127.0.0.1/8' };
  const site: Site = {
    apiVersion: 'selvedge.dev/v1alpha1',
    kind: 'Site',
    metadata: { name, labels: { [devLabel]: name } },
    // On one's own machine consoles may be typed at.
    spec: { displayName: 'Development machines', link: 'Full', rack: { networks: [network] } },
  } as Site;
  return { isNew: true, site: await client.create<Site>(sites, site) };
}

/** Makes the Machine of a box, or tells the present one where the BMC is now. */
export async function ensureDevMachine(
  client: HttpClient,
  box: DevBox,
  wish: Parameters<typeof devMachineSpec>[1],
): Promise<void> {
  const machine: Machine = {
    apiVersion: 'selvedge.dev/v1alpha1',
    kind: 'Machine',
    metadata: { name: box.name, labels: { [devLabel]: wish.site } },
    spec: devMachineSpec(box, wish),
  };
  const present = await client.find<Machine>(machines, { name: box.name });
  if (present === undefined) {
    await client.create<Machine>(machines, machine).catch((error: unknown) => {
      if (!isAlreadyExists(error)) throw error;
    });
    return;
  }
  if (present.metadata.labels?.[devLabel] === undefined) {
    throw new CommandError(
      `Machine ${box.name} is there and was not made by this command`,
      'Give --site another name; boxes are called after it.',
    );
  }
  const { bmc, identity } = machine.spec;
  await client.update<Machine>(machines, {
    ...present,
    spec: { ...present.spec, identity, ...(bmc === undefined ? {} : { bmc }) },
  });
}

/** What is still to be done before the boxes can boot, as lines for people. */
export async function nextSteps(client: HttpClient, site: Site, rackPort: number): Promise<string[]> {
  const { name } = site.metadata;
  const { items: images } = await client.list<MachineImage>(machineImages);
  const steps: string[] = [];
  if (!images.some(({ spec }) => spec.type === 'Inspection')) {
    steps.push(
      'No inspection system is at the hub yet; in another terminal (some minutes, needs apt-get):',
      '  selvedge machine-image build-inspection --kernel cloud',
    );
  }
  if (site.status?.agent === undefined) {
    steps.push(
      `Site ${name} has no agent yet; in another terminal of this machine:`,
      `  selvedge site token ${name} > ${name}.token`,
      `  selvedge-agent run --state ${name}-agent --token-file ${name}.token --runtime none --rack --rack-allow-local-bmc --rack-listen 127.0.0.1:${rackPort}`,
    );
  }
  steps.push('Then watch them, and put an image on one:', '  selvedge machine list --watch');
  if (images.some(({ spec }) => spec.type !== 'Inspection')) {
    const image = images.find(({ spec }) => spec.type !== 'Inspection')?.metadata.name;
    steps.push(`  selvedge machine provision ${name}-1 --image ${image}`);
  } else {
    steps.push('  selvedge dev image tiny', `  selvedge machine provision ${name}-1 --image tiny --wait`);
  }
  return steps;
}
