import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { HubOptionError } from './hub-option-error.ts';

/** Where the hub's own registry keeps its content, as on the command line. */
export interface RegistryStorageFlags {
  /**
   * `file:///DIRECTORY`, `s3://BUCKET/PREFIX?endpoint=URL&region=NAME`, `oci://HOST/PREFIX`, or `off`. Default: the folder `registry` of the data
   * directory; `off` with --store postgres://….
   */
  readonly registryStorage?: string;
  /** File with the credentials of it: lines of `accessKeyId=…` and `secretAccessKey=…`, or `username=…` and `password=…`. */
  readonly registryStorageCredentials?: string;
}

export type RegistryStorageOptions =
  /** `why`: for whoever asks the registry. */
  | { readonly kind: 'off'; readonly why: string }
  | { readonly kind: 'files'; readonly directory: string }
  | {
      readonly kind: 's3';
      readonly bucket: string;
      /** Without slashes at its ends; may be empty. */
      readonly prefix: string;
      readonly endpoint: URL;
      readonly region: string;
      readonly credentialsFile: string;
    }
  | {
      readonly kind: 'registry';
      readonly host: string;
      readonly prefix: string;
      readonly isInsecure: boolean;
      /** Absent: it is asked as nobody in particular. */
      readonly credentialsFile: string | undefined;
    };

/** Throws HubOptionError. */
export function resolveRegistryStorage(
  { registryStorage, registryStorageCredentials: credentialsFile }: RegistryStorageFlags,
  context: {
    readonly dataDirectory: string;
    readonly isShared: boolean;
    readonly insecureRegistries: readonly string[];
  },
): RegistryStorageOptions {
  if (registryStorage === undefined) {
    if (!context.isShared) return { kind: 'files', directory: join(context.dataDirectory, 'registry') };
    return {
      kind: 'off',
      why: 'hubs on one database need one place for the content of their registry: start all of them with the same --registry-storage (s3://…, oci://…, or file:///… on a file system that they share)',
    };
  }
  if (registryStorage === 'off') return { kind: 'off', why: 'it is switched off (--registry-storage off)' };
  const url = URL.parse(registryStorage);
  const known = new Set(['file:', 's3:', 'oci:']);
  if (!url || !known.has(url.protocol) || url.username !== '' || url.password !== '' || url.hash !== '') {
    throw wrong('be file:///DIRECTORY, s3://BUCKET/PREFIX, oci://HOST/PREFIX or off', registryStorage);
  }
  const prefix = url.pathname.replace(/^\/+|\/+$/g, '');
  if (url.protocol === 'file:') {
    if (url.host !== '' || url.search !== '' || prefix === '')
      throw wrong('name a folder: file:///DIRECTORY', registryStorage);
    return { kind: 'files', directory: fileURLToPath(url) };
  }
  if (prefix !== '' && !/^[a-z0-9]+(?:[._/-]+[a-z0-9]+)*$/.test(prefix)) {
    throw wrong('have a prefix of small letters, digits and . _ - /', registryStorage);
  }
  if (url.protocol === 's3:') {
    if (credentialsFile === undefined) {
      throw new HubOptionError('--registry-storage s3://… goes with --registry-storage-credentials FILE');
    }
    return { ...s3Options(url, registryStorage), prefix, credentialsFile };
  }
  if (url.search !== '' || url.host === '' || prefix === '')
    throw wrong('be oci://HOST/PREFIX', registryStorage);
  const isInsecure = context.insecureRegistries.includes(url.host);
  return { kind: 'registry', host: url.host, prefix, isInsecure, credentialsFile };
}

function s3Options(url: URL, text: string): { kind: 's3'; bucket: string; endpoint: URL; region: string } {
  const { searchParams } = url;
  const unknown = [...searchParams.keys()].find((key) => key !== 'endpoint' && key !== 'region');
  if (unknown !== undefined) throw wrong('have no parameters but endpoint and region', text);
  const bucket = url.host;
  if (!/^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$/.test(bucket))
    throw wrong('name a bucket: s3://BUCKET/PREFIX', text);
  const region = searchParams.get('region') ?? 'us-east-1';
  const endpoint = URL.parse(searchParams.get('endpoint') ?? `https://s3.${region}.amazonaws.com`);
  const isBase = endpoint?.pathname === '/' && endpoint.search === '' && endpoint.username === '';
  if (!isBase || !/^https?:$/.test(endpoint.protocol) || !/^[a-z0-9-]+$/.test(region)) {
    throw wrong('have an endpoint such as https://s3.example and a region such as eu-central-1', text);
  }
  return { kind: 's3', bucket, endpoint, region };
}

function wrong(wanted: string, text: string): HubOptionError {
  // What somebody wrote into it by mistake may be a password.
  const shown = text.replace(/\/\/[^/@]*@/, '//…@').slice(0, 200);
  return new HubOptionError(`--registry-storage must ${wanted}, not "${shown}"`);
}
