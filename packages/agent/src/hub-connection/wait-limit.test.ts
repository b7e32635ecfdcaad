import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { WaitLimit } from './wait-limit.ts';

describe('how long polls may wait', () => {
  test('a poll that breaks while the next request goes well makes polls shorter', () => {
    const limit = new WaitLimit(55);
    limit.broke(30);
    limit.answered(0.1);
    assert.equal(limit.seconds, 22);
  });

  test('a link that was lost says nothing about waits', () => {
    const limit = new WaitLimit(55);
    limit.broke(30);
    limit.lost();
    limit.answered(0.1);
    assert.equal(limit.seconds, 55);
  });

  test('waits that went well become longer again, slowly, and never longer than at first', () => {
    const limit = new WaitLimit(55);
    limit.broke(20);
    limit.answered(0);
    assert.equal(limit.seconds, 15);
    for (let wait = 0; wait < 20; wait++) limit.answered(15);
    assert.equal(limit.seconds, 19);
    for (let wait = 0; wait < 400; wait++) limit.answered(limit.seconds);
    assert.equal(limit.seconds, 55);
  });
});
