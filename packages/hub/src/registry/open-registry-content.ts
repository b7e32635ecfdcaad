import type { Clock } from '@selvedge/api';
import type { RegistryStorageOptions } from '../server/registry-storage-options.ts';
import { KeptContent } from './content/kept-content.ts';
import type { RegistryContent } from './content/registry-content.ts';
import { DistributionError } from './distribution-error.ts';
import { readCredentialsFile } from './storage/credentials-file.ts';
import { FileStorage } from './storage/file-storage.ts';
import { S3Storage } from './storage/s3-storage.ts';
import { ForwardedContent } from './content/forwarded-content.ts';

export interface OpenContentOptions {
  readonly storage: RegistryStorageOptions;
  readonly clock: Clock;
  /** The same for all hubs of a fleet: seals what clients carry for us. */
  readonly uploadKey: Buffer;
}

/** Throws DistributionError. */
export function openRegistryContent({ storage, clock, uploadKey }: OpenContentOptions): RegistryContent {
  switch (storage.kind) {
    case 'off':
      throw new DistributionError('UNAVAILABLE', `this hub has no registry: ${storage.why}`);
    case 'files':
      return new KeptContent({ storage: new FileStorage({ directory: storage.directory, clock }), clock });
    case 's3': {
      const credentials = () =>
        readCredentialsFile(storage.credentialsFile, ['accessKeyId', 'secretAccessKey']);
      return new KeptContent({ storage: new S3Storage({ ...storage, credentials, clock }), clock });
    }
    case 'registry': {
      const { credentialsFile } = storage;
      const login =
        credentialsFile === undefined
          ? undefined
          : () => readCredentialsFile(credentialsFile, ['username', 'password']);
      return new ForwardedContent({ ...storage, login, uploadKey, clock });
    }
  }
}
