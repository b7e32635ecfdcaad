import { createHash } from 'node:crypto';
import { isDeepStrictEqual } from 'node:util';
import {
  canonicalJson,
  type Condition,
  isStatusError,
  type KubeObject,
  type RegistryCredential,
  registryCredentials,
  type Secret,
  secrets,
  type StatusError,
} from '@selvedge/api';
import { keysFromInformer, nameOfKey, type ReconcileResult, runController } from '@selvedge/kube';
import { askEcr, type AwsKeys, ecrEndpoint } from '../../credentials/ecr-token.ts';
import {
  type KeptLogin,
  loginSecretName,
  loginSecretType,
  readKeptLogin,
  staticLogins,
  textOf,
  unusable,
  writeKeptLogin,
} from '../../credentials/login-secret.ts';
import { withCondition } from '../../rollout/conditions.ts';
import type { ControllerContext } from '../controller-context.ts';

type Ecr = NonNullable<RegistryCredential['spec']['ecr']>;

/** After ECR gave none: while a token still opens the registry, and when none does. */
const retrySeconds = { whileValid: 300, without: 60 };
/** Of the half of a token's life, either way: many credentials are not renewed in one moment. */
const jitter = 0.1;

/** Says of each RegistryCredential whether it can be used, and renews the tokens of ECR at half of their life. */
export function runRegistryCredentialController(ctx: ControllerContext): Promise<void> {
  const { informers, clock, logger, signal } = ctx;
  return runController({
    name: 'registry-credential',
    sources: [
      keysFromInformer(informers.registryCredentials),
      keysFromInformer(informers.secretVersions, (secret) => credentialsOf(ctx, secret)),
    ],
    reconcile: (key) => reconcile(ctx, key),
    concurrency: 4,
    clock,
    logger,
    signal,
  });
}

/** Keys of the RegistryCredentials that a Secret matters to: it is named by them, or was made for them. */
function credentialsOf({ informers }: ControllerContext, { metadata }: KubeObject): string[] {
  const { namespace = '', name } = metadata;
  return informers.registryCredentials
    .list(namespace)
    .filter((one) => secretRefOf(one) === name || loginSecretName(one.metadata.name) === name)
    .map((one) => `${namespace}/${one.metadata.name}`);
}

function secretRefOf({ spec }: RegistryCredential): string | undefined {
  return (spec.static ?? spec.ecr)?.secretRef?.name;
}

interface Finding {
  readonly ready: Pick<Condition, 'status' | 'reason' | 'message'>;
  readonly login?: KeptLogin;
  readonly lookAgainSeconds?: number;
}

async function reconcile(ctx: ControllerContext, key: string): Promise<ReconcileResult> {
  const credential = await ctx.client.find<RegistryCredential>(registryCredentials, nameOfKey(key));
  // The Secret with its token goes with it: it is owned by it.
  if (!credential || credential.metadata.deletionTimestamp !== undefined) return 'done';
  const { ecr } = credential.spec;
  const finding =
    ecr === undefined ? await checkStatic(ctx, credential) : await keepToken(ctx, credential, ecr);
  await writeStatus(ctx, credential, finding);
  const { lookAgainSeconds } = finding;
  return lookAgainSeconds === undefined ? 'done' : { requeueAfterSeconds: lookAgainSeconds };
}

async function checkStatic(ctx: ControllerContext, credential: RegistryCredential): Promise<Finding> {
  const name = secretRefOf(credential) ?? '';
  const secret = await findSecret(ctx, credential, name);
  if (secret === undefined) return missing(name);
  try {
    staticLogins(credential, secret);
  } catch (error) {
    if (!isStatusError(error)) throw error;
    return { ready: { status: 'False', reason: 'SecretUnusable', message: error.message } };
  }
  const message = 'The login stands in the Secret; whether the registry takes it is seen when it is asked.';
  return { ready: { status: 'True', reason: 'LoginPresent', message } };
}

/** Asks for a token when there is none for this spec, or when it is past the half of its life. */
async function keepToken(ctx: ControllerContext, credential: RegistryCredential, ecr: Ecr): Promise<Finding> {
  const now = ctx.clock.now().getTime();
  const present = await findSecret(ctx, credential, loginSecretName(credential.metadata.name));
  if (present !== undefined && !isOwn(present, credential)) {
    const message = `the Secret "${present.metadata.name}" is in the way: it was not made for this RegistryCredential; delete or rename it`;
    return { ready: { status: 'False', reason: 'NameTaken', message } };
  }
  const kept = readKeptLogin(present);
  const valid = kept !== undefined && Date.parse(kept.expiresAt) > now ? kept : undefined;
  let asked: { keys: AwsKeys; by: string };
  try {
    asked = await findKeys(ctx, credential, ecr);
  } catch (error) {
    return failed(error, valid);
  }
  if (valid !== undefined && valid.askedBy === asked.by) {
    const dueInSeconds = Math.ceil((renewalTime(valid, credential) - now) / 1000);
    if (dueInSeconds > 0) return { ready: tokenPresent, login: valid, lookAgainSeconds: dueInSeconds };
  }
  try {
    const token = await askEcr(ecr, asked.keys, ctx);
    const login = { ...token, refreshedAt: new Date(now).toISOString(), askedBy: asked.by };
    await keepLogin(ctx, credential, { present, login });
    const lookAgainSeconds = Math.max(retrySeconds.without, (renewalTime(login, credential) - now) / 1000);
    return { ready: tokenPresent, login, lookAgainSeconds };
  } catch (error) {
    return failed(error, valid);
  }
}

const tokenPresent = {
  status: 'True',
  reason: 'TokenPresent',
  message: 'The token of ECR is renewed at half of its life.',
} as const;

function failed(error: unknown, login: KeptLogin | undefined): Finding {
  // Whatever is wrong with the hub's own store is tried again by itself.
  if (!isStatusError(error, 'ServiceUnavailable')) throw error;
  const { message } = error as StatusError;
  return login === undefined
    ? { ready: { status: 'False', reason: 'NoToken', message }, lookAgainSeconds: retrySeconds.without }
    : {
        ready: {
          status: 'True',
          reason: 'NotRenewed',
          message: `The present token still opens it, but: ${message}`,
        },
        login,
        lookAgainSeconds: retrySeconds.whileValid,
      };
}

/** As whom ECR is asked, and the digest of all that a token depends on. */
async function findKeys(
  ctx: ControllerContext,
  credential: RegistryCredential,
  ecr: Ecr,
): Promise<{ keys: AwsKeys; by: string }> {
  const keys = ecr.secretRef === undefined ? ctx.ecr.keys : await keysOf(ctx, credential, ecr.secretRef.name);
  if (keys === undefined) {
    throw unusable(
      'without spec.ecr.secretRef the keys come from the environment of the hub (AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY), and there are none',
    );
  }
  checkEndpoint(ctx, ecr);
  const text = canonicalJson({ endpoint: ecrEndpoint(ecr).href, region: ecr.region, key: keys.accessKeyId });
  return { keys, by: createHash('sha256').update(text).digest('base64url') };
}

async function keysOf(
  ctx: ControllerContext,
  credential: RegistryCredential,
  name: string,
): Promise<AwsKeys> {
  const secret = await findSecret(ctx, credential, name);
  if (secret === undefined) throw unusable(missing(name).ready.message);
  const accessKeyId = textOf(secret, 'aws_access_key_id')?.trim();
  const secretAccessKey = textOf(secret, 'aws_secret_access_key')?.trim();
  const sessionToken = textOf(secret, 'aws_session_token')?.trim();
  if (!accessKeyId || !secretAccessKey) {
    throw unusable(`the Secret "${name}" needs the keys aws_access_key_id and aws_secret_access_key`);
  }
  return { accessKeyId, secretAccessKey, ...(sessionToken ? { sessionToken } : {}) };
}

/** Whoever writes a RegistryCredential is not to make the hub speak to whatever it likes. */
function checkEndpoint({ ecr: access }: ControllerContext, ecr: Ecr): void {
  const { host, hostname, protocol } = ecrEndpoint(ecr);
  const isAws = hostname.endsWith('.amazonaws.com') || hostname.endsWith('.amazonaws.com.cn');
  if (protocol === 'https:' && (isAws || access.endpoints.includes(host))) return;
  if (access.insecureEndpoints.includes(host)) return;
  throw unusable(
    protocol === 'https:'
      ? `${host} is no address of AWS; the hub asks it when it is started with --private-registry ${host}`
      : `${host} would be asked by http; the hub does so when it is started with --insecure-registry ${host}`,
  );
}

/** When a token is renewed: at half of its life, a little sooner or later for each credential. */
function renewalTime({ refreshedAt, expiresAt }: KeptLogin, { metadata }: RegistryCredential): number {
  const from = Date.parse(refreshedAt);
  const spread =
    createHash('sha256')
      .update(metadata.uid ?? '')
      .digest()
      .readUInt16BE() / 65_536;
  return from + (Date.parse(expiresAt) - from) * (0.5 + (spread - 0.5) * jitter);
}

async function keepLogin(
  { client }: ControllerContext,
  { apiVersion, kind, metadata }: RegistryCredential,
  { present, login }: { present: Secret | undefined; login: KeptLogin },
): Promise<void> {
  const data = writeKeptLogin(login);
  if (present !== undefined) {
    await client.update<Secret>(secrets, { ...present, data });
    return;
  }
  const { name, namespace = '', uid = '' } = metadata;
  await client.create<Secret>(secrets, {
    apiVersion: 'v1',
    kind: 'Secret',
    metadata: {
      name: loginSecretName(name),
      namespace,
      ownerReferences: [{ apiVersion, kind, name, uid, controller: true, blockOwnerDeletion: true }],
    },
    type: loginSecretType,
    data,
  });
}

function isOwn({ type, metadata }: Secret, credential: RegistryCredential): boolean {
  const owners = metadata.ownerReferences ?? [];
  return type === loginSecretType && owners.some(({ uid }) => uid === credential.metadata.uid);
}

function findSecret(
  { client }: ControllerContext,
  { metadata }: RegistryCredential,
  name: string,
): Promise<Secret | undefined> {
  return client.find<Secret>(secrets, { namespace: metadata.namespace ?? '', name });
}

function missing(name: string): Finding {
  const message = `there is no Secret "${name}" in the namespace; create it`;
  return { ready: { status: 'False', reason: 'SecretMissing', message } };
}

async function writeStatus(
  { client, clock }: ControllerContext,
  credential: RegistryCredential,
  { ready, login }: Finding,
): Promise<void> {
  const { conditions: present = [] } = credential.status ?? {};
  const conditions = withCondition(present, { type: 'Ready', ...ready }, clock.now().toISOString());
  const status = {
    conditions,
    ...(login === undefined ? {} : { expiresTime: login.expiresAt, refreshedTime: login.refreshedAt }),
  };
  if (isDeepStrictEqual(credential.status, status)) return;
  await client.updateStatus<RegistryCredential>(registryCredentials, { ...credential, status });
}
