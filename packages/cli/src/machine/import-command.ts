import { isAlreadyExists, type Machine, machines, printable, sites } from '@selvedge/api';
import type { HttpClient } from '@selvedge/kube';
import { connect, type ConnectOptions } from '../program/connect.ts';
import { CommandError, exitCode, UsageError } from '../program/exit-code.ts';
import { type Command, formatDocument, type OutputFormat } from '../program/terminal.ts';
import { getSite } from '../site/get-site.ts';
import { type BmcFlags, readBmc } from './machine-flags.ts';

export interface ImportOptions extends ConnectOptions, BmcFlags {
  readonly name: string;
  readonly site: string;
  readonly mac?: readonly string[];
  readonly uuid?: string;
  readonly serial?: readonly string[];
  readonly displayName?: string;
  readonly address?: string;
  readonly label?: Record<string, string>;
  /** false: nothing runs on it that has to stay. */
  readonly running: boolean;
  readonly output: OutputFormat;
}

/** Makes a Machine by hand: one that runs already, and stays as it is, or a new one that is known before it boots. */
export const importCommand: Command<ImportOptions> = async (options, ctx) => {
  const { name, site, label, displayName, address, running } = options;
  const identity = identityOf(options);
  const bmc = readBmc(options);
  await using hub = await connect(options, ctx.process);
  const found = await getSite(hub.client, site);
  const machine = await create(hub.client, {
    apiVersion: 'selvedge.dev/v1alpha1',
    kind: 'Machine',
    metadata: { name, ...(label === undefined ? {} : { labels: label }) },
    spec: {
      siteName: site,
      identity,
      accepted: true,
      ...(displayName === undefined ? {} : { displayName }),
      ...(address === undefined ? {} : { address }),
      ...(bmc === undefined ? {} : { bmc }),
      ...(running ? { externallyProvisioned: true } : {}),
    },
  });
  if (options.output !== 'table') {
    ctx.print(await formatDocument(options.output, machine));
    return exitCode.ok;
  }
  ctx.print(
    running
      ? `${name} is known, as it runs: nothing on it is written, erased or switched off.`
      : `${name} is known: it is inspected once it boots from the network of site ${site}.`,
  );
  if (found.spec?.rack === undefined) {
    ctx.hint(
      printable(
        `Site ${site} has no rack yet: spec.rack says on which networks it boots machines (${sites.plural}).`,
      ),
    );
  }
  ctx.hint(`selvedge machine show ${name} tells what is known of it.`);
  return exitCode.ok;
};

async function create(client: HttpClient, machine: Machine): Promise<Machine> {
  try {
    return await client.create<Machine>(machines, machine);
  } catch (error) {
    if (!isAlreadyExists(error)) throw error;
    const { name } = machine.metadata;
    throw new CommandError(`there is a machine ${name} already`, `selvedge machine show ${name}`);
  }
}

function identityOf({ mac, uuid, serial }: ImportOptions): Machine['spec']['identity'] {
  if (mac === undefined && uuid === undefined && serial === undefined) {
    throw new UsageError('say how it is known: --mac, --uuid or --serial');
  }
  const macAddresses = mac?.map((text) => {
    const plain = text.toLowerCase().replaceAll('-', ':');
    if (!/^[0-9a-f]{2}(:[0-9a-f]{2}){5}$/.test(plain))
      throw new UsageError(`--mac ${text}: write it as 52:54:00:12:34:56`);
    return plain;
  });
  return {
    ...(macAddresses === undefined ? {} : { macAddresses }),
    ...(uuid === undefined ? {} : { uuid: uuid.toLowerCase() }),
    ...(serial === undefined ? {} : { serials: [...serial] }),
  };
}
