import {
  type Clock,
  isConflict,
  isNotFound,
  type KubeObject,
  type Logger,
  type ObjectClient,
  type Secret,
  secrets,
  type ServiceAccount,
  serviceAccounts,
} from '@selvedge/api';
import {
  createInformer,
  keyOfObject,
  keysFromInformer,
  nameOfKey,
  type ReconcileResult,
  runController,
} from '@selvedge/kube';

export interface TokenSecretOptions {
  readonly client: ObjectClient;
  /** Makes a token that does not expire, for the Secret to hold. */
  readonly signToken: (account: KubeObject, secret: { name: string; uid: string }) => Promise<string>;
  /** PEM by which clients trust the hub. */
  readonly authorities: () => string;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly signal: AbortSignal;
}

const type = 'kubernetes.io/service-account-token';
const nameAnnotation = 'kubernetes.io/service-account.name';
const uidAnnotation = 'kubernetes.io/service-account.uid';

/**
 * Fills Secrets of type `kubernetes.io/service-account-token` with a token, and deletes them with their ServiceAccount,
 * as Kubernetes does: for programs that want a token that does not expire (Argo CD's `cluster add`). Safe to run in
 * several hubs at once.
 */
export async function runTokenSecretController(options: TokenSecretOptions): Promise<void> {
  const { client, clock, logger, signal } = options;
  const tokenSecrets = createInformer<Secret>({
    client,
    resource: secrets,
    fieldSelector: `type=${type}`,
    clock,
    logger,
  });
  const accounts = createInformer<ServiceAccount>({ client, resource: serviceAccounts, clock, logger });
  const secretsOf = ({ metadata }: ServiceAccount) =>
    tokenSecrets
      .list(metadata.namespace)
      .filter((secret) => secret.metadata.annotations?.[nameAnnotation] === metadata.name)
      .map(keyOfObject);
  await Promise.all([
    tokenSecrets.run(signal),
    accounts.run(signal),
    runController({
      name: 'service-account-token',
      sources: [keysFromInformer(tokenSecrets), keysFromInformer(accounts, secretsOf)],
      reconcile: (key) => reconcile(options, key),
      clock,
      logger,
      signal,
    }),
  ]);
}

async function reconcile(options: TokenSecretOptions, key: string): Promise<ReconcileResult> {
  const { client } = options;
  const target = nameOfKey(key);
  const secret = await client.find<Secret>(secrets, target);
  const { annotations = {}, namespace = '', uid = '', deletionTimestamp } = secret?.metadata ?? {};
  const accountName = annotations[nameAnnotation];
  if (secret?.type !== type || accountName === undefined || deletionTimestamp !== undefined) return 'done';
  const account = await client.find(serviceAccounts, { namespace, name: accountName });
  const accountUid = annotations[uidAnnotation];
  const isOfAnother = accountUid !== undefined && accountUid !== account?.metadata.uid;
  if (isOfAnother) {
    await removeSecret(client, secret);
    return 'done';
  }
  // One that was made before its ServiceAccount waits for it.
  if (!account?.metadata.uid) return 'done';

  const encode = (text: string) => Buffer.from(text).toString('base64');
  const present = secret.data ?? {};
  const missing = ['token', 'ca.crt', 'namespace'].some((name) => !present[name]);
  if (accountUid !== undefined && !missing) return 'done';
  // Only what is missing: hubs that differ in their certificate must not take turns.
  const data = {
    ...present,
    'ca.crt': present['ca.crt'] || encode(options.authorities()),
    namespace: present['namespace'] || encode(namespace),
    token: present['token'] || encode(await options.signToken(account, { name: target.name, uid })),
  };
  const metadata = {
    ...secret.metadata,
    annotations: { ...annotations, [uidAnnotation]: account.metadata.uid },
  };
  await client.update(secrets, { ...secret, metadata, data });
  return 'done';
}

async function removeSecret(client: ObjectClient, { metadata }: Secret): Promise<void> {
  const { name, namespace = '', uid } = metadata;
  try {
    await client.delete(secrets, { namespace, name }, uid === undefined ? {} : { preconditions: { uid } });
  } catch (error) {
    // Gone already, or another one has its name now.
    if (!isNotFound(error) && !isConflict(error)) throw error;
  }
}
