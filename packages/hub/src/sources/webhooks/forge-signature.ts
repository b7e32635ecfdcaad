import { createHmac, hash, timingSafeEqual } from 'node:crypto';

/** One delivery, as it came. */
export interface WebhookDelivery {
  readonly header: (name: string) => string | undefined;
  /** Exactly as sent: it is what is signed. */
  readonly body: Buffer;
  readonly now: Date;
}

/** The clock of a forge, and ours, may differ by it. */
const toleranceSeconds = 300;
const hexHeaders = ['x-forgejo-signature', 'x-gitea-signature', 'x-gogs-signature'];
const prefixedHeaders = ['x-hub-signature-256', 'x-hub-signature'];

/**
 * Whether a delivery was signed, or sent, by who knows the token. GitHub, Gitea, Forgejo and Gogs sign with HMAC-SHA256, GitLab sends the
 * token itself or signs as standardwebhooks.com says. Takes the same time however wrong it is.
 */
export function isSignedBy(token: string, { header, body, now }: WebhookDelivery): boolean {
  if (token === '') return false;
  const ours = createHmac('sha256', token).update(body).digest('hex');
  let isRight = false;
  for (const name of hexHeaders) isRight = isSame(header(name), ours) || isRight;
  for (const name of prefixedHeaders) isRight = isSame(header(name), `sha256=${ours}`) || isRight;
  isRight = isSame(header('x-gitlab-token'), token) || isRight;
  return isStandardSigned(token, { header, body, now }) || isRight;
}

function isStandardSigned(token: string, { header, body, now }: WebhookDelivery): boolean {
  const id = header('webhook-id');
  const timestamp = header('webhook-timestamp');
  const signatures = header('webhook-signature');
  if (id === undefined || timestamp === undefined || signatures === undefined) return false;
  const key = token.startsWith('whsec_') ? Buffer.from(token.slice('whsec_'.length), 'base64') : token;
  const ours = createHmac('sha256', key).update(`${id}.${timestamp}.`).update(body).digest('base64');
  const isRecent = Math.abs(now.getTime() / 1000 - Number(timestamp)) <= toleranceSeconds;
  let isRight = false;
  // Several while the token is changed.
  for (const signature of signatures.split(' ').slice(0, 10))
    isRight = isSame(signature, `v1,${ours}`) || isRight;
  return isRight && isRecent;
}

/** In constant time, also for texts of different lengths. */
function isSame(theirs: string | undefined, ours: string): boolean {
  if (theirs === undefined) return false;
  return timingSafeEqual(hash('sha256', theirs, 'buffer'), hash('sha256', ours, 'buffer'));
}
