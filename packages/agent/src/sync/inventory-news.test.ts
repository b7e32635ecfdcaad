import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { type InventoryNode, inventoryParts, type InventoryReport, type SiteInventory } from '@selvedge/api';
import { applyInventoryReport, inventoryDigest, systemClock } from '@selvedge/api/node';
import { HubClock } from '../hub-connection/hub-clock.ts';
import { AgentDatabase } from '../state/agent-database.ts';
import { MemoryDriver } from '../testing/memory-driver.ts';
import { makeStateDir } from '../testing/test-agent.ts';
import { InventoryNews } from './inventory-news.ts';

const whole = 1_000_000;
const node = (name: string): InventoryNode => ({
  name,
  roles: [],
  isReady: true,
  capacity: { cpu: '4' },
  allocatable: { cpu: '4' },
});
const inventoryWith = (...names: string[]): SiteInventory => ({
  nodes: names.map(node),
  storageClasses: [],
  nodeGroups: [],
});

/** The news of one agent after another, with a clock that stands still. */
async function setUp() {
  const dir = await makeStateDir();
  const time = { ms: 0 };
  const clock = new HubClock({ clock: systemClock, monotonicMs: () => time.ms });
  const driver = new MemoryDriver();
  let database: AgentDatabase | undefined;
  let rings = 0;
  const start = () => {
    database?.close();
    database = AgentDatabase.open(dir.path);
    return new InventoryNews({ database, driver, clock, onNews: () => (rings += 1) });
  };
  return {
    driver,
    start,
    time,
    rings: () => rings,
    async [Symbol.asyncDispose]() {
      database?.close();
      await dir[Symbol.asyncDispose]();
    },
  };
}

function taken(news: InventoryNews, maxBytes = whole): InventoryReport {
  const report = news.take(maxBytes);
  assert.ok(report, 'there is something to send');
  return report;
}

describe('news of the inventory', () => {
  test('is all of it at first, then what changed, and no more often than every 30 seconds', async () => {
    await using lab = await setUp();
    const news = lab.start();
    assert.equal(news.dueInMs(), undefined);
    lab.driver.setInventory(inventoryWith('a', 'b'));
    assert.equal(lab.rings(), 1);
    const first = taken(news);
    assert.deepEqual([first.from, Object.keys(first.parts)], ['', ['node/a', 'node/b']]);
    news.answered(first, false);
    lab.driver.setInventory(inventoryWith('a', 'c'));
    assert.deepEqual([news.dueInMs(), news.take(whole)], [30_000, undefined]);
    lab.time.ms += 30_000;
    const second = taken(news);
    assert.deepEqual([second.from, second.parts], [first.to, { 'node/b': null, 'node/c': node('c') }]);
    news.answered(second, false);
    lab.time.ms += 60_000;
    assert.equal(news.take(whole), undefined, 'nothing has changed');
  });

  test('comes again when the answer was lost, from what the hub is known to have', async () => {
    await using lab = await setUp();
    const news = lab.start();
    lab.driver.setInventory(inventoryWith('a'));
    const lost = taken(news);
    lab.time.ms += 30_000;
    assert.deepEqual(taken(news), lost);
  });

  test('after a restart only asks whether the hub has it still; all of it is sent when that is not so', async () => {
    await using lab = await setUp();
    lab.driver.setInventory(inventoryWith('a'));
    const before = lab.start();
    before.answered(taken(before), false);
    const news = lab.start();
    const question = taken(news);
    const digest = inventoryDigest(inventoryParts(inventoryWith('a')));
    assert.deepEqual([question.from, question.to, question.parts], [digest, digest, {}]);
    news.answered(question, true);
    const all = taken(news);
    assert.deepEqual([all.from, Object.keys(all.parts)], ['', ['node/a']]);
    news.answered(all, false);
    lab.driver.setInventory(inventoryWith('a', 'b'));
    lab.time.ms += 30_000;
    assert.equal(taken(news).from, digest);
  });

  test('after a restart at which something changed all of it is sent', async () => {
    await using lab = await setUp();
    lab.driver.setInventory(inventoryWith('a'));
    const before = lab.start();
    before.answered(taken(before), false);
    lab.driver.setInventory(inventoryWith('b'));
    const all = taken(lab.start());
    assert.deepEqual([all.from, Object.keys(all.parts)], ['', ['node/b']]);
  });

  test('asks when another hub answers, and now and then', async () => {
    await using lab = await setUp();
    const news = lab.start();
    lab.driver.setInventory(inventoryWith('a'));
    news.answered(taken(news), false);
    lab.time.ms += 30_000;
    assert.equal(news.take(whole), undefined);
    news.doubt();
    const question = taken(news);
    assert.deepEqual(question.parts, {});
    news.answered(question, false);
    lab.time.ms += 15 * 3_600_000;
    assert.deepEqual(taken(news).parts, {});
  });

  test('a hub that never takes it is asked less and less often', async () => {
    await using lab = await setUp();
    const news = lab.start();
    lab.driver.setInventory(inventoryWith('a'));
    const waits: number[] = [];
    for (let n = 0; n < 9; n++) {
      news.answered(taken(news), true);
      waits.push((news.dueInMs() ?? 0) / 1000);
      lab.time.ms += news.dueInMs() ?? 0;
    }
    assert.deepEqual(waits, [60, 120, 240, 480, 960, 1920, 3600, 3600, 3600]);
  });

  test('a big one goes in pieces, each from where the one before led', async () => {
    await using lab = await setUp();
    const news = lab.start();
    const names = Array.from({ length: 20 }, (_, n) => `n${String(n).padStart(2, '0')}`);
    lab.driver.setInventory(inventoryWith(...names));
    let held = {};
    let pieces = 0;
    for (; news.dueInMs() === 0; pieces++) {
      const piece = taken(news, 500);
      held = applyInventoryReport(held, piece) ?? assert.fail('it fits');
      news.answered(piece, false);
      lab.time.ms += 30_000;
    }
    assert.ok(pieces > 2, `${pieces}`);
    assert.deepEqual(held, inventoryParts(inventoryWith(...names)));
  });
});
