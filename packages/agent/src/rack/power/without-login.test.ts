import assert from 'node:assert/strict';
import { test } from 'node:test';
import { inspect } from 'node:util';
import { ManualDriver } from './manual-driver.ts';
import { LoginRefused, type PowerDriver, PowerError, type PowerLogin } from './power-driver.ts';
import { never } from './testing/test-bmc.ts';
import { withoutLogin } from './without-login.ts';

const login: PowerLogin = { username: 'root', password: 'hunter"2 ä', kg: 'k', token: 'hunter"2 ä+more' };

function refusing(error: Error): PowerDriver {
  return Object.assign(new ManualDriver(), { state: () => Promise.reject(error) });
}

test('what a BMC quotes of a login is taken out of its errors, in every form, with the cause', async () => {
  const basic = Buffer.from('root:hunter"2 ä').toString('base64');
  const said = `The value 'hunter"2 ä' (hunter\\"2 ä, hunter%222%20%C3%A4, ${basic}, hunter"2 ä+more) is bad`;
  const cause = new Error(said);
  for (const error of [
    new LoginRefused(said, { cause }),
    new PowerError('Busy', said, { isPassing: true, cause }),
  ]) {
    const driver = withoutLogin(refusing(error), login);
    await assert.rejects(driver.state(never()), (shown: PowerError) => {
      assert.equal(shown.message, "The value '…' (…, …, …, …) is bad");
      assert.doesNotMatch(inspect(shown), /hunter/);
      assert.equal(shown.constructor, error.constructor);
      assert.deepEqual([shown.reason, shown.isPassing], [error.reason, error.isPassing]);
      return true;
    });
  }
});

test('an error without secrets stays the same one, and abilities are those of the driver', async () => {
  const error = new PowerError('Busy', 'the BMC starts', { isPassing: true });
  const manual = refusing(error);
  const driver = withoutLogin(manual, login);
  await assert.rejects(driver.state(never()), (shown) => shown === error);
  assert.deepEqual(driver.abilities, manual.abilities);
  assert.ok(!('bootMedia' in driver), 'what it cannot do it does not seem to do');
});
