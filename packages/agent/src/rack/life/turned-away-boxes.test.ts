import assert from 'node:assert/strict';
import { it } from 'node:test';
import { addSeconds } from './machine-record.ts';
import { TurnedAwayBoxes } from './turned-away-boxes.ts';

const start = '2026-01-01T00:00:00.000Z';

it('boxes that were turned away count once each, for an hour, and at most 1000 of them', () => {
  const boxes = new TurnedAwayBoxes();
  assert.equal(boxes.since(start), undefined);
  for (let i = 0; i < 1500; i++) boxes.add(`box ${i}`, addSeconds(start, i));
  boxes.add('box 1499', addSeconds(start, 1500));
  assert.deepEqual(boxes.since(addSeconds(start, 1500)), {
    turnedAway: 1000,
    lastSeenTime: addSeconds(start, 1500),
  });
  assert.equal(boxes.since(addSeconds(start, 1499 + 3600))?.turnedAway, 1);
  assert.equal(boxes.since(addSeconds(start, 1500 + 3600)), undefined);
});
