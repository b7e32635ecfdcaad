import { type Command, InvalidArgumentError } from 'commander';
import type { RackOptions } from '../rack/rack-role.ts';
import { type ListenAddress, listenAddress } from './depot-flags.ts';
import type { KubernetesFlags } from './kubernetes-flags.ts';

export const runtimes = ['podman', 'kubernetes', 'none'] as const;
export type Runtime = (typeof runtimes)[number];

/** What this agent does beside applications: it looks after the machines of the site. */
export interface RackFlags {
  readonly runtime?: Runtime;
  readonly rack?: boolean;
  readonly rackListen?: ListenAddress;
  readonly rackBootFiles?: string;
  readonly rackAllowLocalBmc?: boolean;
  readonly rackScriptKey?: string;
  readonly rackScriptCertificate?: string;
}

export function addRackFlags(command: Command): Command {
  return command
    .option(
      '--runtime <name>',
      'podman, kubernetes or none (no applications, only the rack); default: podman, with --kubeconfig or --in-cluster kubernetes',
      runtime,
    )
    .option(
      '--rack',
      'look after the machines of the site: DHCP, network boot, images, power (Site.spec.rack)',
    )
    .option(
      '--rack-listen <host:port>',
      "where machines reach the boot server; default: the rack's address in each of its networks, port 5248",
      listenAddress,
    )
    .option(
      '--rack-boot-files <dir>',
      'folder of boot files (vmlinuz, initrd.img, undionly.kpxe, snponly.efi) that go before those of the inspection image',
    )
    .option(
      '--rack-allow-local-bmc',
      'call BMCs and consoles at addresses of this very machine and link-local ones too: for virtual machines beside the agent',
    )
    .option(
      '--rack-script-key <file>',
      'sign boot scripts with this key (PEM), for firmware that checks them',
    )
    .option(
      '--rack-script-certificate <file>',
      'certificate (PEM) of --rack-script-key, then those above it, with the root',
    );
}

/** Undefined: no rack. Throws with the name of the flag that lacks another. */
export function rackOptions(flags: RackFlags & KubernetesFlags): RackOptions | undefined {
  const { rack, rackListen: listen, rackBootFiles: bootFilesDir } = flags;
  const { rackAllowLocalBmc: allowLocalBmc } = flags;
  const { rackScriptKey: keyFile, rackScriptCertificate: certificateFile } = flags;
  if (flags.runtime === 'none' && rack !== true) {
    throw new Error('--runtime none needs --rack: without either there is nothing to do');
  }
  if (rack !== true) {
    const others = { listen, bootFilesDir, allowLocalBmc, keyFile, certificateFile };
    if (Object.values(others).every((value) => value === undefined)) return undefined;
    throw new Error('the flags --rack-… need --rack');
  }
  if (flags.inCluster === true) {
    throw new Error(
      '--rack needs an agent beside the cluster: not --in-cluster, but --kubeconfig or --runtime none',
    );
  }
  if ((keyFile === undefined) !== (certificateFile === undefined)) {
    throw new Error('--rack-script-key and --rack-script-certificate need each other');
  }
  return {
    listen,
    bootFilesDir,
    allowLocalBmc,
    ...(keyFile === undefined || certificateFile === undefined
      ? {}
      : { scriptKey: { keyFile, certificateFile } }),
  };
}

/** Throws where the flags say two things. */
export function checkRuntime({ runtime: name }: RackFlags, isKubernetes: boolean): Runtime {
  if (name === undefined) return isKubernetes ? 'kubernetes' : 'podman';
  if (isKubernetes && name !== 'kubernetes') {
    throw new Error(`--runtime ${name} does not go with --kubeconfig or --in-cluster`);
  }
  if (!isKubernetes && name === 'kubernetes') {
    throw new Error('--runtime kubernetes needs --kubeconfig FILE or --in-cluster');
  }
  return name;
}

function runtime(value: string): Runtime {
  const name = runtimes.find((one) => one === value.toLowerCase());
  if (name === undefined) throw new InvalidArgumentError('podman, kubernetes or none');
  return name;
}
