import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { EnrolmentRefused } from './enrolment-refused.ts';
import { parseEnrolmentToken } from './enrolment-token.ts';

const claims = {
  hubs: ['https://hub.example:6480', 'https://[fd00::1]:6480'],
  fleetKeyFingerprint: 'SHA256:abc',
  token: 'shops',
  secret: 'hush-hush',
};
const encode = (value: unknown) => `selvedge1.${Buffer.from(JSON.stringify(value)).toString('base64url')}`;

describe('an enrolment token', () => {
  test('is read with blanks and line ends around it', () => {
    const token = parseEnrolmentToken(`\n  ${encode(claims)}\n`);
    assert.deepEqual(
      token.hubs.map((hub) => hub.host),
      ['hub.example:6480', '[fd00::1]:6480'],
    );
    assert.equal(token.name, 'shops');
    assert.equal(token.digest, parseEnrolmentToken(encode(claims)).digest);
  });

  test('garbage is refused for good, and not repeated', () => {
    const bad = [
      '',
      'hush-hush',
      'selvedge1.',
      'selvedge1.%%%hush-hush',
      encode(claims).slice(0, -20),
      encode({ ...claims, secret: undefined }),
      encode({ ...claims, hubs: ['http://hub.example'] }),
      encode({ ...claims, hubs: ['not an address'] }),
      encode({ ...claims, hubs: 'https://hub.example' }),
      encode(null),
      encode([]),
    ];
    for (const text of bad) {
      assert.throws(
        () => parseEnrolmentToken(text),
        (error) => error instanceof EnrolmentRefused && !/hush|aHVzaC/.test(error.message),
        text,
      );
    }
  });
});
