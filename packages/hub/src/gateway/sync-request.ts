import type { AgentInfo, EnrollRequest, SyncRequest } from '@selvedge/api';
import { BodyReader } from './body-reader.ts';
import { parseHeldState } from './parse-held-state.ts';
import { parseInventory } from './parse-inventory.ts';
import { parseMachineReports, type ParsedMachineReports } from './parse-machines.ts';
import { parseMirrorReports } from './parse-mirrors.ts';
import { parseRackReport } from './parse-rack-report.ts';
import { digestRule, parseReport } from './parse-report.ts';
import { parseActs, parseSiteReport } from './parse-site-report.ts';

/** Largest body of `POST /sync/v1`. */
export const syncBodyLimitBytes = 1_048_576;
/** The same, of a site that was asked for the state that it follows: the orders of all its machines are in it. */
export const heldBodyLimitBytes = 16_777_216;
/** Largest body of `POST /gateway/v1/enroll`. */
export const enrollBodyLimitBytes = 16_384;

/** Newer agents may know reasons that this hub does not; all are shown alike. */
const refusalReason = { max: 60, pattern: /^[A-Z][A-Za-z]*$/, hint: 'must be a word in CamelCase' };

type Refusal = NonNullable<SyncRequest['refusal']>;

/** A sync request whose fields were checked. */
export interface CheckedSyncRequest extends SyncRequest {
  /** Why `held` is not there though it was sent. */
  readonly heldFault?: string;
  /** Why `inventory` is not there though it was sent. */
  readonly inventoryFault?: string;
  /** Of `machines`, those that cannot be taken. */
  readonly machineFaults?: ParsedMachineReports['faults'];
}

/**
 * Checks a sync request; throws Invalid with every faulty field. Only `held`, `inventory` and single `machines` are left out when they are faulty: an agent
 * may follow a state from before an upgrade, or run in a cluster that nobody thought of, and has to be heard all the same.
 */
export function parseSyncRequest(body: unknown): CheckedSyncRequest {
  const reader = new BodyReader('sync request');
  const fields = reader.object(body, 'body');
  const agent = reader.optionalObject(fields['agent'], 'agent');
  const refusal = reader.optionalObject(fields['refusal'], 'refusal');
  const site = reader.optionalObject(fields['site'], 'site');
  const { acts, full } = fields;
  const maxWait = fields['maxWaitSeconds'];
  const observed = fields['observedTime'];
  const request: CheckedSyncRequest = {
    epoch: reader.integer(fields['epoch'], 'epoch', { min: 0 }),
    stateDigest: reader.string(fields['stateDigest'], 'stateDigest', digestRule),
    agentTime: reader.time(fields['agentTime'], 'agentTime'),
    ...(agent ? { agent: parseAgentInfo(reader, agent) } : {}),
    reports: reader
      .list(fields['reports'], 'reports', 10_000)
      .map((report, i) => parseReport(reader, report, `reports[${i}]`)),
    reportsDigest: reader.string(fields['reportsDigest'], 'reportsDigest', digestRule),
    ...(observed === undefined ? {} : { observedTime: reader.time(observed, 'observedTime') }),
    ...(refusal
      ? {
          refusal: {
            reason: reader.string(refusal['reason'], 'refusal.reason', refusalReason) as Refusal['reason'],
            message: reader.text(refusal['message'], 'refusal.message', { max: 2_000 }),
            epoch: reader.integer(refusal['epoch'], 'refusal.epoch', { min: 0 }),
          },
        }
      : {}),
    ...(maxWait === undefined
      ? {}
      : { maxWaitSeconds: reader.integer(maxWait, 'maxWaitSeconds', { min: 0, max: 86_400 }) }),
    ...(full === undefined || !reader.boolean(full, 'full') ? {} : { full: true }),
    ...(site === undefined ? {} : { site: parseSiteReport(reader, site, 'site') }),
    ...(acts === undefined ? {} : { acts: parseActs(reader, acts, 'acts') }),
    ...(fields['inventory'] === undefined ? {} : checkInventory(fields['inventory'])),
    ...(fields['mirrors'] === undefined
      ? {}
      : { mirrors: parseMirrorReports(reader, fields['mirrors'], 'mirrors') }),
    ...parseRack(reader, fields),
    ...(fields['held'] === undefined ? {} : checkHeld(fields['held'])),
  };
  reader.finish();
  return request;
}

function parseRack(
  reader: BodyReader,
  fields: Readonly<Record<string, unknown>>,
): Pick<CheckedSyncRequest, 'rack' | 'machines' | 'machinesDigest' | 'machineFaults'> {
  const rack = reader.optionalObject(fields['rack'], 'rack');
  const digest = reader.optionalString(fields['machinesDigest'], 'machinesDigest', digestRule);
  const parsed =
    fields['machines'] === undefined
      ? undefined
      : parseMachineReports(reader, fields['machines'], 'machines');
  return {
    ...(rack === undefined ? {} : { rack: parseRackReport(reader, rack, 'rack') }),
    ...(digest === undefined ? {} : { machinesDigest: digest }),
    ...(parsed === undefined ? {} : { machines: [...parsed.reports], machineFaults: parsed.faults }),
  };
}

function checkHeld(value: unknown): Pick<CheckedSyncRequest, 'held' | 'heldFault'> {
  const reader = new BodyReader('state');
  const held = parseHeldState(reader, reader.object(value, 'held'), 'held');
  try {
    reader.finish();
    return { held };
  } catch (error) {
    return { heldFault: (error as Error).message };
  }
}

function checkInventory(value: unknown): Pick<CheckedSyncRequest, 'inventory' | 'inventoryFault'> {
  const reader = new BodyReader('inventory');
  const inventory = parseInventory(reader, reader.object(value, 'inventory'), 'inventory');
  try {
    reader.finish();
    return { inventory };
  } catch (error) {
    return { inventoryFault: (error as Error).message };
  }
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
  const runtime = reader.optionalText(fields['runtime'], 'agent.runtime', { max: 200 });
  return {
    version: reader.text(fields['version'], 'agent.version', { max: 100 }),
    hostname: reader.text(fields['hostname'], 'agent.hostname', { max: 253 }),
    os: reader.text(fields['os'], 'agent.os', { max: 200 }),
    architecture: reader.text(fields['architecture'], 'agent.architecture', { max: 50 }),
    ...(runtime === undefined ? {} : { runtime }),
    ...(fields['sealingKey'] === undefined ? {} : { sealingKey: parseSealingKey(reader, fields) }),
  };
}

function parseSealingKey(reader: BodyReader, fields: Readonly<Record<string, unknown>>): string {
  return reader.string(fields['sealingKey'], 'agent.sealingKey', {
    max: 43,
    pattern: /^[A-Za-z0-9_-]{43}$/,
    hint: 'must be the 32 bytes of an X25519 public key in base64url',
  });
}
