import { DistributionError } from '../distribution-error.ts';
import { type RegistryAccess, tokenIn } from './registry-access.ts';
import type { RegistryExchange } from './registry-exchange.ts';

const maxFormBytes = 64 * 1024;
const lifeSeconds = 300;

/**
 * https://distribution.github.io/distribution/spec/auth/token and …/oauth: clients bring name and password and want a bearer token for them. The password is one: it is
 * given back when it is good, and every request is judged by RBAC as it comes.
 */
export async function answerToken(exchange: RegistryExchange, access: RegistryAccess): Promise<void> {
  const token = await presented(exchange);
  const caller = token === undefined ? undefined : await access.identify(`Bearer ${token}`, undefined);
  if (caller === undefined) {
    throw new DistributionError(
      'UNAUTHORIZED',
      'log in with any name, and a token of this hub as the password (kubectl create token)',
    );
  }
  exchange.answer({
    status: 200,
    headers: { 'cache-control': 'no-store' },
    body: { token, access_token: token, expires_in: lifeSeconds },
  });
}

async function presented(exchange: RegistryExchange): Promise<string | undefined> {
  if (exchange.method === 'GET') {
    const authorization = exchange.header('authorization');
    return authorization === undefined ? undefined : tokenIn(authorization);
  }
  if (exchange.method !== 'POST') throw new DistributionError('UNSUPPORTED', 'this path takes GET or POST');
  const form = new URLSearchParams((await exchange.smallBody(maxFormBytes)).toString('utf8'));
  return form.get(form.get('grant_type') === 'refresh_token' ? 'refresh_token' : 'password') ?? undefined;
}
