import type { EcrAccess } from '../controllers/index.ts';
import type { AwsKeys } from '../credentials/ecr-token.ts';
import type { ResolvedHubOptions } from './hub-options.ts';

export interface EcrFlags {
  /** As whom RegistryCredentials without a Secret of their own ask ECR; from the environment (`awsKeysOf`). */
  readonly awsKeys?: AwsKeys;
}

/** The usual variables of AWS' tools; undefined when they are not set. */
export function awsKeysOf(environment: Readonly<Record<string, string | undefined>>): AwsKeys | undefined {
  const accessKeyId = environment['AWS_ACCESS_KEY_ID'];
  const secretAccessKey = environment['AWS_SECRET_ACCESS_KEY'];
  const sessionToken = environment['AWS_SESSION_TOKEN'];
  if (!accessKeyId || !secretAccessKey) return undefined;
  return { accessKeyId, secretAccessKey, ...(sessionToken ? { sessionToken } : {}) };
}

/** Endpoints of ECR that are not AWS' own are named as private registries are. */
export function ecrAccess({
  registries,
  awsKeys,
}: Pick<ResolvedHubOptions, 'registries' | 'awsKeys'>): EcrAccess {
  return {
    ...(awsKeys === undefined ? {} : { keys: awsKeys }),
    endpoints: registries.privateRegistries,
    insecureEndpoints: registries.insecureRegistries,
  };
}
