import {
  type AgentInfo,
  deliveryStates,
  type EnrollRequest,
  type ItemReport,
  type SyncRequest,
} from '@selvedge/api';
import { BodyReader } from './body-reader.ts';

/** Largest body of `POST /sync/v1`. */
export const syncBodyLimitBytes = 1_048_576;
/** Largest body of `POST /gateway/v1/enroll`. */
export const enrollBodyLimitBytes = 16_384;

const digest = {
  max: 71,
  pattern: /^(sha256:[0-9a-f]{64})?$/,
  hint: 'must be sha256:<64 hex digits>, or empty',
};
/** Newer agents may know reasons that this hub does not; all are shown alike. */
const refusalReason = { max: 60, pattern: /^[A-Z][A-Za-z]*$/, hint: 'must be a word in CamelCase' };

type Refusal = NonNullable<SyncRequest['refusal']>;

/** Checks a sync request; throws Invalid with every faulty field. */
export function parseSyncRequest(body: unknown): SyncRequest {
  const reader = new BodyReader('sync request');
  const fields = reader.object(body, 'body');
  const agent = reader.optionalObject(fields['agent'], 'agent');
  const refusal = reader.optionalObject(fields['refusal'], 'refusal');
  const full = fields['full'];
  if (full !== undefined && typeof full !== 'boolean') {
    reader.fault('full', 'FieldValueInvalid', 'must be true or false');
  }
  const maxWait = fields['maxWaitSeconds'];
  const observed = fields['observedTime'];
  const request: SyncRequest = {
    epoch: reader.integer(fields['epoch'], 'epoch', { min: 0 }),
    stateDigest: reader.string(fields['stateDigest'], 'stateDigest', digest),
    agentTime: reader.time(fields['agentTime'], 'agentTime'),
    ...(agent ? { agent: parseAgentInfo(reader, agent) } : {}),
    reports: reader
      .list(fields['reports'], 'reports', 10_000)
      .map((report, i) => parseReport(reader, report, `reports[${i}]`)),
    reportsDigest: reader.string(fields['reportsDigest'], 'reportsDigest', digest),
    ...(observed === undefined ? {} : { observedTime: reader.time(observed, 'observedTime') }),
    ...(refusal
      ? {
          refusal: {
            reason: reader.string(refusal['reason'], 'refusal.reason', refusalReason) as Refusal['reason'],
            message: reader.string(refusal['message'], 'refusal.message', { max: 2_000 }),
            epoch: reader.integer(refusal['epoch'], 'refusal.epoch', { min: 0 }),
          },
        }
      : {}),
    ...(maxWait === undefined
      ? {}
      : { maxWaitSeconds: reader.integer(maxWait, 'maxWaitSeconds', { min: 0, max: 86_400 }) }),
    ...(full === true ? { full } : {}),
  };
  reader.finish();
  return request;
}

/** Checks an enrolment request; throws Invalid with every faulty field. */
export function parseEnrollRequest(body: unknown): EnrollRequest {
  const reader = new BodyReader('enrolment request');
  const fields = reader.object(body, 'body');
  const request: EnrollRequest = {
    token: reader.string(fields['token'], 'token', { max: 253 }),
    secret: reader.string(fields['secret'], 'secret', { max: 200 }),
    publicKey: reader.string(fields['publicKey'], 'publicKey', {
      max: 43,
      pattern: /^[A-Za-z0-9_-]{43}$/,
      hint: 'must be the 32 bytes of an Ed25519 public key in base64url',
    }),
    agent: parseAgentInfo(reader, reader.object(fields['agent'], 'agent')),
  };
  reader.finish();
  return request;
}

function parseAgentInfo(reader: BodyReader, fields: Readonly<Record<string, unknown>>): AgentInfo {
  const runtime = reader.optionalString(fields['runtime'], 'agent.runtime', { max: 200 });
  return {
    version: reader.string(fields['version'], 'agent.version', { max: 100 }),
    hostname: reader.string(fields['hostname'], 'agent.hostname', { max: 253 }),
    os: reader.string(fields['os'], 'agent.os', { max: 200 }),
    architecture: reader.string(fields['architecture'], 'agent.architecture', { max: 50 }),
    ...(runtime === undefined ? {} : { runtime }),
  };
}

function parseReport(reader: BodyReader, value: unknown, path: string): ItemReport {
  const fields = reader.object(value, path);
  const runningDigest = reader.optionalString(fields['runningDigest'], `${path}.runningDigest`, digest);
  const reason = reader.optionalString(fields['reason'], `${path}.reason`, { max: 200 });
  const message = reader.optionalString(fields['message'], `${path}.message`, { max: 8_192 });
  const pods = reader.optionalObject(fields['pods'], `${path}.pods`);
  const count = { min: 0, max: 1_000_000 };
  return {
    id: reader.string(fields['id'], `${path}.id`, {
      max: 600,
      pattern: /^[A-Za-z]+(\/[^/\s]+)+$/,
      hint: 'must be Kind/namespace/name',
    }),
    uid: reader.string(fields['uid'], `${path}.uid`, { max: 100, pattern: /^\S+$/, hint: 'must be a uid' }),
    epoch: reader.integer(fields['epoch'], `${path}.epoch`, { min: 0 }),
    release: reader.string(fields['release'], `${path}.release`, { max: 253 }),
    digest: reader.string(fields['digest'], `${path}.digest`, digest),
    state: reader.oneOf(fields['state'], `${path}.state`, deliveryStates),
    ...(runningDigest === undefined ? {} : { runningDigest }),
    ...(reason === undefined ? {} : { reason }),
    ...(message === undefined ? {} : { message }),
    ...(fields['logs'] === undefined ? {} : { logs: parseLogs(reader, fields['logs'], `${path}.logs`) }),
    ...(pods === undefined
      ? {}
      : {
          pods: {
            wanted: reader.integer(pods['wanted'], `${path}.pods.wanted`, count),
            ready: reader.integer(pods['ready'], `${path}.pods.ready`, count),
          },
        }),
    sinceTime: reader.time(fields['sinceTime'], `${path}.sinceTime`),
    observedTime: reader.time(fields['observedTime'], `${path}.observedTime`),
    seq: reader.integer(fields['seq'], `${path}.seq`, { min: 1 }),
  };
}

/** A line of 500 characters may be up to twice as many UTF-16 units. */
function parseLogs(reader: BodyReader, value: unknown, path: string): string[] {
  return reader.list(value, path, 20).map((line, i) => reader.string(line, `${path}[${i}]`, { max: 1_000 }));
}
