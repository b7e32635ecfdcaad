import { X509Certificate } from 'node:crypto';
import { isIPv4 } from 'node:net';
import {
  bmcQuirkNames,
  faultOfDnsSubdomain,
  type FieldError,
  fieldForbidden,
  fieldInvalid,
  fieldNotSupported,
  fieldRequired,
  isNoSerial,
  isNoUuid,
  type Machine,
  type MachineSpec,
} from '@selvedge/api';
import { faultOfNetworkConfig } from '../machines/network-config.ts';

type Bmc = NonNullable<MachineSpec['bmc']>;
type Provision = NonNullable<MachineSpec['provision']>;

/** What the schema cannot say. */
export function validateMachine({ metadata, spec }: Machine, previous: Machine | undefined): FieldError[] {
  const errors = validateIdentity(spec.identity, 'spec.identity');
  if (previous !== undefined && previous.spec.siteName !== spec.siteName) {
    errors.push(
      fieldForbidden(
        'spec.siteName',
        'a machine stays with its site: delete it and make it at the other one',
      ),
    );
  }
  if (spec.bmc !== undefined) {
    errors.push(...validateBmc(spec.bmc, 'spec.bmc'));
    // It was not always refused: what is stored with it may be changed otherwise. The rack uses it in no case.
    if (spec.bmc.cipherSuite === 0 && previous?.spec.bmc?.cipherSuite !== 0) {
      errors.push(fieldInvalid('spec.bmc.cipherSuite', 0, 'may not be 0, which asks for no password'));
    }
  }
  if (spec.address !== undefined && !isIPv4(spec.address)) {
    errors.push(fieldInvalid('spec.address', spec.address, 'must be an IPv4 address, as in 10.10.0.20'));
  }
  if (spec.wipeConsent !== undefined && spec.wipeConsent !== metadata.name) {
    const rule = `must be the name of this machine, "${metadata.name}": consent is given for one machine at a time`;
    errors.push(fieldInvalid('spec.wipeConsent', spec.wipeConsent, rule));
  }
  if (spec.provision !== undefined) {
    errors.push(...validateProvision(spec.provision, previous?.spec.provision, 'spec.provision'));
    if (spec.externallyProvisioned === true) {
      const rule = 'may not be with externallyProvisioned, which says that what is on its disks stays';
      errors.push(fieldForbidden('spec.provision', rule));
    }
  }
  for (const [index, key] of (spec.rescue?.authorizedKeys ?? []).entries()) {
    if (authorizedKeyPattern.test(key)) continue;
    const rule = 'must be one line as in an authorized_keys file, beginning with the type of the key';
    errors.push(fieldInvalid(`spec.rescue.authorizedKeys[${index}]`, key, rule));
  }
  return errors;
}

const authorizedKeyPattern =
  /^(ssh-(rsa|ed25519)|ecdsa-sha2-nistp(256|384|521)|sk-(ssh-ed25519|ecdsa-sha2-nistp256)@openssh\.com) [A-Za-z0-9+/]+={0,3}( [^\p{Cc}]*)?$/u;
const hostNamePattern = /^[a-z0-9]([-a-z0-9]*[a-z0-9])?$/;

function validateIdentity(identity: MachineSpec['identity'], path: string): FieldError[] {
  const { uuid, serials = [], macAddresses = [] } = identity;
  const errors: FieldError[] = [];
  if (uuid === undefined && serials.length === 0 && macAddresses.length === 0) {
    errors.push(
      fieldRequired(path, 'give at least one of uuid, serials, macAddresses: else no box is this machine'),
    );
  }
  if (uuid !== undefined && isNoUuid(uuid)) {
    errors.push(fieldInvalid(`${path}.uuid`, uuid, 'is what firmware says that has none'));
  }
  for (const [index, serial] of serials.entries()) {
    if (!isNoSerial(serial)) continue;
    errors.push(fieldInvalid(`${path}.serials[${index}]`, serial, 'is what firmware says that has none'));
  }
  for (const [index, address] of macAddresses.entries()) {
    if (isPortAddress(address)) continue;
    const rule = 'must be the address of one port: not of a group, and not all zero';
    errors.push(fieldInvalid(`${path}.macAddresses[${index}]`, address, rule));
  }
  return errors;
}

function isPortAddress(macAddress: string): boolean {
  const isGroup = (Number.parseInt(macAddress.slice(0, 2), 16) & 1) === 1;
  return !isGroup && macAddress !== '00:00:00:00:00:00';
}

function validateBmc(bmc: Bmc, path: string): FieldError[] {
  const errors = validateBmcAddress(bmc, `${path}.address`);
  if (bmc.caCertificate !== undefined && !isCertificate(bmc.caCertificate)) {
    errors.push(fieldInvalid(`${path}.caCertificate`, bmc.caCertificate, 'must be a certificate as PEM'));
  }
  if (bmc.console !== undefined && !isConsole(bmc.console)) {
    errors.push(fieldInvalid(`${path}.console`, bmc.console, 'must be tcp://host:port'));
  }
  for (const [index, quirk] of (bmc.quirks ?? []).entries()) {
    if ((bmcQuirkNames as readonly string[]).includes(quirk)) continue;
    errors.push(fieldNotSupported(`${path}.quirks[${index}]`, quirk, bmcQuirkNames));
  }
  if (bmc.macAddress !== undefined && !isPortAddress(bmc.macAddress)) {
    const rule = 'must be the address of one port: not of a group, and not all zero';
    errors.push(fieldInvalid(`${path}.macAddress`, bmc.macAddress, rule));
  }
  return errors;
}

const hostPattern = /^(\[[0-9a-fA-F:.]+\]|[A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?)(:\d{1,5})?$/;

function validateBmcAddress({ type, address }: Bmc, path: string): FieldError[] {
  if (address === undefined) {
    const needed = { Redfish: 'https://host', IPMI: 'host or host:port', Webhook: 'https:// address' };
    if (type === 'WakeOnLAN' || type === 'Manual') return [];
    return [fieldRequired(path, `with type ${type}: ${needed[type]}`)];
  }
  switch (type) {
    case 'Redfish':
      return isWebAddress(address) || hostPattern.test(address)
        ? []
        : [
            fieldInvalid(
              path,
              address,
              'must be https://host[:port][/redfish/v1/Systems/ID], without name and password',
            ),
          ];
    case 'Webhook':
      return isWebAddress(address)
        ? []
        : [fieldInvalid(path, address, 'must be an https:// address without name and password')];
    case 'IPMI':
      return hostPattern.test(address) ? [] : [fieldInvalid(path, address, 'must be host or host:port')];
    case 'WakeOnLAN':
      return /^[\d.]*(:\d{1,5})?$/.test(address) && (/^(:|$)/.test(address) || isIPv4(hostOf(address)))
        ? []
        : [fieldInvalid(path, address, 'must be a broadcast address, as in 10.10.0.255 or 10.10.0.255:9')];
    case 'Manual':
      return [fieldForbidden(path, 'nothing is switched with type Manual')];
  }
}

const hostOf = (address: string): string => address.split(':')[0] ?? '';

/** Also http: BMCs in labs have no certificate. */
function isWebAddress(text: string): boolean {
  if (!URL.canParse(text)) return false;
  const { protocol, username, password, hash } = new URL(text);
  return (protocol === 'https:' || protocol === 'http:') && username === '' && password === '' && hash === '';
}

function isConsole(text: string): boolean {
  const match = /^tcp:\/\/(.+)$/.exec(text);
  return match?.[1] !== undefined && hostPattern.test(match[1]) && /:\d+$/.test(match[1]);
}

function isCertificate(pem: string): boolean {
  try {
    return new X509Certificate(pem).subject !== '';
  } catch {
    return false;
  }
}

/** What is wanted on a disk, as a Machine and a MachineClaim say it. What is as before is not judged again: rules may have become stricter since. */
export function validateProvision(
  { image, hostname, networkConfig }: Partial<Provision>,
  previous: Partial<Provision> | undefined,
  path: string,
): FieldError[] {
  const errors: FieldError[] = [];
  const imageFault = image === previous?.image ? undefined : image && faultOfDnsSubdomain(image);
  if (imageFault) {
    errors.push(fieldInvalid(`${path}.image`, image, `is no name of a MachineImage: ${imageFault}`));
  }
  if (hostname !== undefined && hostname !== previous?.hostname && !hostNamePattern.test(hostname)) {
    const rule = 'must be a DNS label: lower case letters, digits and -';
    errors.push(fieldInvalid(`${path}.hostname`, hostname, rule));
  }
  if (networkConfig !== undefined && networkConfig !== previous?.networkConfig) {
    // cloud-init says what is wrong with the rest; a text that it takes for nothing would leave a machine unreachable.
    const networkFault = faultOfNetworkConfig(networkConfig);
    if (networkFault) errors.push(fieldInvalid(`${path}.networkConfig`, networkConfig, networkFault));
  }
  return errors;
}
