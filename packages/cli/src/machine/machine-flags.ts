import { readFile } from 'node:fs/promises';
import { bmcTypes, type MachineSpec } from '@selvedge/api';
import { UsageError } from '../program/exit-code.ts';
import type { ProvisionWish } from './machine-change.ts';

export interface BmcFlags {
  readonly bmc?: string;
  readonly bmcAddress?: string;
  readonly bmcSecret?: string;
  readonly bmcInsecure?: boolean;
}

/** `spec.bmc` of `--bmc…`; undefined when none was given. Throws UsageError. */
export function readBmc(flags: BmcFlags): MachineSpec['bmc'] {
  const { bmc, bmcAddress, bmcSecret, bmcInsecure } = flags;
  if (bmc === undefined) {
    if (bmcAddress ?? bmcSecret ?? bmcInsecure)
      throw new UsageError(`--bmc has to say which kind: ${bmcTypes.join(', ')}`);
    return undefined;
  }
  const type = bmcTypes.find((one) => one.toLowerCase() === bmc.toLowerCase());
  if (type === undefined) throw new UsageError(`--bmc ${bmc}: has to be one of ${bmcTypes.join(', ')}`);
  return {
    type,
    ...(bmcAddress === undefined ? {} : { address: bmcAddress }),
    ...(bmcSecret === undefined ? {} : { secretRef: readSecretName('--bmc-secret', bmcSecret) }),
    ...(bmcInsecure === true ? { insecureSkipVerify: true } : {}),
  };
}

function readSecretName(flag: string, text: string): { namespace: string; name: string } {
  const [namespace = '', name = '', ...rest] = text.split('/');
  if (namespace === '' || name === '' || rest.length > 0) {
    throw new UsageError(`${flag} ${text}: write it as namespace/name`);
  }
  return { namespace, name };
}

export interface InstallFlags {
  readonly image: string;
  readonly hostname?: string;
  readonly userData?: string;
  readonly userDataSecret?: string;
  readonly networkConfig?: string;
  readonly disk?: readonly string[];
}

/** What is to be on the disk, of the flags that say so. Reads files. Throws UsageError. */
export async function readInstall(flags: InstallFlags): Promise<ProvisionWish> {
  const { image, hostname, userData, userDataSecret, networkConfig, disk } = flags;
  if (userData !== undefined && userDataSecret !== undefined) {
    throw new UsageError('--user-data and --user-data-secret: give one of them');
  }
  const data = await readUserData(userData, userDataSecret);
  return {
    image,
    ...(hostname === undefined ? {} : { hostname }),
    ...(data === undefined ? {} : { userData: data }),
    ...(networkConfig === undefined
      ? {}
      : { networkConfig: await readText('--network-config', networkConfig) }),
    ...(disk === undefined ? {} : { rootDevice: readDiskHints(disk) }),
  };
}

async function readUserData(
  file: string | undefined,
  secret: string | undefined,
): Promise<ProvisionWish['userData']> {
  if (file !== undefined) return { text: await readText('--user-data', file) };
  if (secret === undefined) return undefined;
  const [namespace = '', name = '', key, ...rest] = secret.split('/');
  if (namespace === '' || name === '' || key === '' || rest.length > 0) {
    throw new UsageError(`--user-data-secret ${secret}: write it as namespace/name or namespace/name/key`);
  }
  return { secretRef: { namespace, name, ...(key === undefined ? {} : { key }) } };
}

/** Throws UsageError when there is no such file. */
export async function readText(flag: string, file: string): Promise<string> {
  try {
    return await readFile(file, 'utf8');
  } catch (cause) {
    throw new UsageError(`${flag} ${file}: ${(cause as Error).message}`, { cause });
  }
}

type Hints = NonNullable<ProvisionWish['rootDevice']>;
const textHints = ['deviceName', 'serialNumber', 'wwn', 'model', 'vendor', 'hctl'] as const;

/** `serialNumber=S1234`, `minSizeGigabytes=200`, `rotational=false`; all have to fit. */
function readDiskHints(texts: readonly string[]): Hints {
  const hints: Hints = {};
  for (const text of texts) {
    const [name = '', value = ''] = text.split(/=(.*)/s, 2);
    const textHint = textHints.find((one) => one === name);
    if (textHint !== undefined && value !== '') hints[textHint] = value;
    else if (name === 'minSizeGigabytes' && /^[1-9]\d{0,6}$/.test(value))
      hints.minSizeGigabytes = Number(value);
    else if (name === 'rotational' && /^(true|false)$/.test(value)) hints.rotational = value === 'true';
    else {
      throw new UsageError(
        `--disk ${text}: has to be one of ${textHints.map((hint) => `${hint}=…`).join(', ')}, minSizeGigabytes=N, rotational=true|false`,
      );
    }
  }
  return hints;
}
