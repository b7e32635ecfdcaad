import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { type Machine, machines, type Site, sites } from '@selvedge/api';
import { createHttpClient, type HttpClient, resourcePath } from '@selvedge/kube';
import { runProgram } from '../quickstart/lab/run-program.ts';
import { startHubTarget } from './api/hub-target.ts';
import type { Target } from './api/target.ts';
import { type Figure, figure, median } from './figure.ts';
import { sampleInventory, sampleMachine } from './hub-machines/sample-machine.ts';
import { residentMebibytes } from './resident-memory.ts';

export interface HubMachinesBenchOptions {
  /** Machines, each with an inventory of about 60 KB. */
  readonly machines: number;
  /** Folder for the data of the hub. */
  readonly data: string | undefined;
}

const machinesPerSite = 100;
const tableRounds = 5;
const quietMilliseconds = 15_000;
const tableType = 'application/json;as=Table;v=v1;g=meta.k8s.io';

/** What the Machines of a fleet cost their hub: memory after a start, and the list that people look at. */
export async function benchHubMachines(
  options: HubMachinesBenchOptions,
  tell: (line: string) => void,
): Promise<Figure[]> {
  tell('building the programs');
  await runProgram([process.execPath, join(import.meta.dirname, '../tools/build.ts')]);
  const target = await startHubTarget(options.data === undefined ? {} : { parent: options.data });
  try {
    return await measure(target, options.machines, tell);
  } finally {
    await target.close();
  }
}

async function measure(target: Target, count: number, tell: (line: string) => void): Promise<Figure[]> {
  const empty = await residentAfterStart(target);
  tell(`${count} machines`);
  const client = createHttpClient(await target.address());
  const inventory = Buffer.byteLength(JSON.stringify(sampleInventory(0)));
  try {
    await makeMachines(client, count);
    tell('a new start, a quiet moment, then memory');
    const known = await residentAfterStart(target, client);
    const perMachine = ((known - empty) * 2 ** 20) / count;
    const list = await measureTable(client);
    return [
      figure('inventory of each machine', inventory / 1000, { unit: 'KB' }),
      figure('hub: memory (RSS), no machines', empty, { unit: 'MiB' }),
      figure(`hub: memory (RSS), ${count} machines`, known, { unit: 'MiB' }),
      figure('hub: memory for each machine', perMachine / 1000, { unit: 'KB' }),
      figure('hub: memory for each machine, against its inventory', perMachine / inventory, { unit: '×' }),
      figure('table of all machines, median', list.milliseconds, { unit: 'ms' }),
      figure('table of all machines, for each machine', list.bytes / 1000 / count, {
        unit: 'KB',
        mark: { atMost: 1 },
      }),
      figure('hub: memory (RSS) after five such tables', await residentMebibytes((await target.pids())[0]), {
        unit: 'MiB',
      }),
    ];
  } finally {
    await client.close();
  }
}

/** After controllers have read what there is. */
async function residentAfterStart(target: Target, client?: HttpClient): Promise<number> {
  await target.restart?.();
  const present = client ?? createHttpClient(await target.address());
  await untilAnswered(() => present.list<Site>(sites));
  if (client === undefined) await present.close();
  await sleep(quietMilliseconds);
  return residentMebibytes((await target.pids())[0]);
}

async function untilAnswered(ask: () => Promise<unknown>): Promise<void> {
  for (;;) {
    try {
      await ask();
      return;
    } catch {
      await sleep(100);
    }
  }
}

async function makeMachines(client: HttpClient, count: number): Promise<void> {
  for (let from = 0; from < count; from += machinesPerSite) {
    const siteName = `site-${from / machinesPerSite}`;
    await client.create<Site>(sites, siteWithRack(siteName));
    const numbers = Array.from({ length: Math.min(machinesPerSite, count - from) }, (_, i) => from + i);
    await inTurns(numbers, (n) => makeMachine(client, n, siteName));
  }
}

async function makeMachine(client: HttpClient, n: number, siteName: string): Promise<void> {
  const { name } = sampleMachine(n, siteName).metadata;
  await client.create<Machine>(machines, sampleMachine(n, siteName));
  const status: Machine['status'] = {
    phase: 'Available',
    operationalStatus: 'OK',
    disks: 'Blank',
    inventory: sampleInventory(n),
    inventoryDigest: `sha256:${n}`,
    inspectedTime: '2026-01-01T00:00:00Z',
    observedGeneration: 1,
    observedTime: '2026-01-01T00:00:00Z',
  };
  await client.mergePatch(machines, { name }, { status }, { subresource: 'status' });
}

/** Eight at a time. */
async function inTurns(numbers: readonly number[], work: (n: number) => Promise<void>): Promise<void> {
  const left = numbers.values();
  await Promise.all(
    Array.from({ length: 8 }, async () => {
      for (const n of left) await work(n);
    }),
  );
}

function siteWithRack(name: string): Site {
  return {
    apiVersion: 'selvedge.dev/v1alpha1',
    kind: 'Site',
    metadata: { name },
    spec: {
      rack: {
        networks: [
          {
            name: 'lab',
            interface: 'eth1',
            address: '10.10.0.1/16',
            range: { from: '10.10.1.0', to: '10.10.200.0' },
          },
        ],
      },
    },
  };
}

/** As \`kubectl get machines\` asks, in one page. */
async function measureTable(client: HttpClient): Promise<{ milliseconds: number; bytes: number }> {
  const times: number[] = [];
  let bytes = 0;
  for (let round = 0; round < tableRounds; round++) {
    const started = performance.now();
    const table = await client.request<object>({
      method: 'GET',
      path: resourcePath(machines, {}),
      query: { includeObject: 'None' },
      accept: tableType,
    });
    times.push(performance.now() - started);
    bytes = Buffer.byteLength(JSON.stringify(table));
  }
  return { milliseconds: median(times), bytes };
}
