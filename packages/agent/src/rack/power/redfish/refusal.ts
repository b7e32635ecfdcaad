import { fieldOf, isObject, printable } from '@selvedge/api';
import type { BmcAnswer } from '../bmc-http.ts';
import { LoginRefused, PowerError } from '../power-driver.ts';

/** Why a BMC said no, as far as programs can tell. */
export interface Refusal {
  readonly status: number;
  /** Without registry and version: `UnableToModifyDuringSystemPOST`. */
  readonly messageIds: readonly string[];
  /** Of the BMC, made fit to be shown. */
  readonly message: string;
}

/** Undefined: the answer is no refusal. */
export function refusalOf(answer: BmcAnswer): Refusal | undefined {
  if (answer.status >= 200 && answer.status < 300) return undefined;
  const error = fieldOf(answer.body, 'error');
  const extended = isObject(error) ? error['@Message.ExtendedInfo'] : undefined;
  const infos = (Array.isArray(extended) ? extended : [extended]).filter(isObject);
  const ids = [...infos.map((info) => info['MessageId']), isObject(error) ? error['code'] : undefined];
  const texts = [...infos.map((info) => info['Message']), isObject(error) ? error['message'] : undefined];
  return {
    status: answer.status,
    messageIds: ids.filter((id) => typeof id === 'string').map((id) => id.split('.').at(-1) ?? id),
    message: printable(texts.find((text) => typeof text === 'string') ?? '').slice(0, 300),
  };
}

/** It may say yes a little later: the machine starts, power just changed, a job is being made, too much was asked. */
export function isPassing(refusal: Refusal): boolean {
  if ([409, 423, 429, 500, 502, 503, 504].includes(refusal.status)) return true;
  return refusal.status === 400 && (isDuringPost(refusal) || isForState(refusal));
}

export function isForbidden({ status }: Refusal): boolean {
  return status === 401 || status === 403;
}

export function isDuringPost({ messageIds }: Refusal): boolean {
  return messageIds.some((id) => /DuringSystemPOST/i.test(id));
}

export function isForState({ messageIds, message }: Refusal): boolean {
  return (
    messageIds.some((id) => /SystemState|ResourceInUse|NotReady/i.test(id)) || /system state/i.test(message)
  );
}

export function hasId({ messageIds }: Refusal, id: string): boolean {
  return messageIds.includes(id);
}

/** @param what was refused, as a clause: `the BMC refused to turn the machine on`. */
export function powerErrorOf(refusal: Refusal, what: string): PowerError {
  const said = [String(refusal.status), ...refusal.messageIds.slice(0, 1), refusal.message]
    .filter((part) => part !== '')
    .join(' ');
  const reason = reasonOf(refusal);
  const message = `${what}: ${said}${adviceOf(refusal)}`;
  if (refusal.status === 401 || hasId(refusal, 'PasswordChangeRequired')) return new LoginRefused(message);
  return new PowerError(reason, message, { isPassing: reason === 'Busy' });
}

function reasonOf(refusal: Refusal): PowerError['reason'] {
  if (refusal.status === 401 || hasId(refusal, 'PasswordChangeRequired')) return 'Unauthorized';
  if (isLicence(refusal)) return 'Unsupported';
  if (refusal.status === 403) return 'Unauthorized';
  if ([404, 405, 501].includes(refusal.status)) return 'Unsupported';
  return isPassing(refusal) || [412, 428].includes(refusal.status) ? 'Busy' : 'Invalid';
}

function adviceOf(refusal: Refusal): string {
  if (hasId(refusal, 'PasswordChangeRequired'))
    return ' (log in to the BMC once, set a password that its policy likes, and write it to the Secret of spec.bmc.secretRef)';
  if (refusal.status === 401) return ' (see the Secret of spec.bmc.secretRef)';
  if (isLicence(refusal)) return '';
  return refusal.status === 403 ? ' (the user of spec.bmc.secretRef may not do this)' : '';
}

export function isLicence({ messageIds, message }: Refusal): boolean {
  return messageIds.some((id) => /Licen[cs]e/i.test(id)) || /licen[cs]e/i.test(message);
}
