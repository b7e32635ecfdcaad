import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { FakeClock } from '@selvedge/testkit';
import { SitePolls } from './site-polls.ts';

const never = new AbortController().signal;

describe('long-polls of sites', () => {
  test('a poll ends at its time', async () => {
    const clock = new FakeClock();
    const poll = new SitePolls(clock).open('a', never);
    const outcome = poll.wait(1000);
    await clock.advance(1000);
    assert.equal(await outcome, 'timeout');
  });

  test('a change wakes the poll of its own site only', async () => {
    const clock = new FakeClock();
    const polls = new SitePolls(clock);
    const [a, b] = [polls.open('a', never).wait(1000), polls.open('b', never).wait(1000)];
    polls.wake('a');
    assert.equal(await a, 'changed');
    await clock.advance(1000);
    assert.equal(await b, 'timeout');
  });

  test('a change between two waits is not lost, and counts once', async () => {
    const clock = new FakeClock();
    const polls = new SitePolls(clock);
    const poll = polls.open('a', never);
    polls.wake('a');
    assert.equal(await poll.wait(1000), 'changed');
    const next = poll.wait(1000);
    await clock.advance(1000);
    assert.equal(await next, 'timeout');
  });

  test('a newer poll of the same site ends the older one and lives on', async () => {
    const clock = new FakeClock();
    const polls = new SitePolls(clock);
    const older = polls.open('a', never);
    const outcome = older.wait(1000);
    const newer = polls.open('a', never);
    assert.equal(await outcome, 'superseded');
    older.close();
    polls.wake('a');
    assert.equal(await newer.wait(1000), 'changed');
    assert.equal(polls.size, 1);
    newer.close();
    assert.equal(polls.size, 0);
  });

  test('who hangs up ends the poll, and nothing stays behind', async () => {
    const clock = new FakeClock();
    const polls = new SitePolls(clock);
    const gone = new AbortController();
    const poll = polls.open('a', gone.signal);
    const outcome = poll.wait(1000);
    gone.abort();
    assert.equal(await outcome, 'gone');
    poll.close();
    assert.equal(polls.size, 0);
    assert.equal(clock.sleeping, 0);
  });

  test('closing ends the polls that are open and those to come', async () => {
    const polls = new SitePolls(new FakeClock());
    const outcome = polls.open('a', never).wait(1000);
    polls.close();
    assert.equal(await outcome, 'closing');
    assert.equal(await polls.open('b', never).wait(1000), 'closing');
  });
});
