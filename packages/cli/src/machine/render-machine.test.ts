import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { machineErrorReasons, machinePhases } from '@selvedge/api';
import { plainPaint } from '../program/terminal.ts';
import { lifeLine, summarise } from './machine-summary.ts';
import { renderMachine } from './render-machine.ts';
import { failedMachine, sampleMachine, sampleNow, writingMachine } from './testing/sample-machines.ts';

const show = (machine: Parameters<typeof renderMachine>[0]) => renderMachine(machine, sampleNow, plainPaint);

describe('a machine on the screen', () => {
  test('says where it is, what is expected since when and until when, what was last seen and what comes next', () => {
    const text = show(writingMachine);
    assert.match(text, /^rack-7 at site berlin \(Dell Inc\. PowerEdge R640, 4C4XKD3\)\n/);
    assert.match(text, /New ─ Inspecting ─ Available ─ ▶ Provisioning ─ Provisioned {3}for 3m20s, Working\n/);
    assert.match(text, /Now +Writing 34 % \(1\.2 GiB of 3\.5 GiB\)\n/);
    assert.match(text, /Expected +the system writes debian-12 to sda \(for 90s, given up in 14m\)\n/);
    assert.match(text, /Last seen +it said how far it is, 2s ago\n/);
    assert.match(text, /Otherwise +power cycle and boot from the network, attempt 2 of 3\n/);
    assert.match(text, /sda +447 GiB +scsi +SSDSC2KB480G8 +PHYF1 +GPT, ext4\n/);
    assert.match(text, /3h ago {3}BootRequested +it asked what to boot, by UEFI\n/);
  });

  test('in error says why, and which command mends it', () => {
    const text = show(failedMachine);
    assert.match(text, /✗ ConsentMissing: sda holds data/);
    assert.match(text, /What to do\n.*selvedge machine provision rack-7 --image debian-12 --wipe rack-7\n/);
    assert.ok(summarise(failedMachine).isTrouble);
  });

  test('has advice for every error', () => {
    for (const reason of machineErrorReasons) {
      const error = { reason, message: 'why', since: sampleNow.toISOString(), count: 2 };
      const { todo } = summarise(sampleMachine({}, { operationalStatus: 'Error', error }));
      assert.ok(
        todo.some(({ command }) => command !== undefined),
        reason,
      );
    }
  });

  test('is on its way in every phase', () => {
    for (const phase of machinePhases) {
      const here = lifeLine(sampleMachine({}, { phase })).filter(({ isHere }) => isHere);
      assert.deepEqual(
        here.map((one) => one.phase),
        [phase],
      );
      assert.ok(show(sampleMachine({}, { phase })).includes(`▶ ${phase}`));
    }
  });

  test('that no rack has spoken of says so', () => {
    const { status: _, ...unknown } = sampleMachine();
    assert.match(show(unknown), /Now +the rack of site berlin has not said anything of it yet/);
    assert.equal(summarise(unknown).phase, 'Unknown');
  });

  test('in rescue says how it is looked at and left', () => {
    const rescue = { authorizedKeys: ['ssh-ed25519 AAAA'] };
    const seen = { address: '10.10.0.101' };
    const text = show(sampleMachine({ rescue }, { phase: 'Rescue', operationalStatus: 'OK', seen }));
    assert.match(text, /Now +runs the rescue system; its disks are not touched\n/);
    assert.match(text, /look at it: ssh root@10\.10\.0\.101\n.*rescue rack-7 --exit\n/);
    const silent = show(sampleMachine({ rescue: {} }, { phase: 'Rescue', operationalStatus: 'OK' }));
    assert.match(silent, /look at it: selvedge machine console rack-7\n/);
  });

  test('that was found waits to be accepted', () => {
    const found = sampleMachine({ accepted: false }, { phase: 'New' });
    assert.equal(summarise(found).phase, 'Discovered');
    assert.match(show(found), /What to do\n {2}take it in, if it is yours: selvedge machine accept rack-7\n/);
  });

  test('at a silent site is no trouble, but says how old it all is', () => {
    const condition = {
      type: 'SiteConnected',
      status: 'False' as const,
      reason: 'SiteAway',
      message: 'The site is silent.',
      lastTransitionTime: '',
    };
    const away = sampleMachine({}, { conditions: [condition] });
    assert.match(show(away), /! The site is silent\./);
    assert.equal(summarise(away).isTrouble, false);
    const none = sampleMachine(
      {},
      { conditions: [{ ...condition, type: 'Synced', reason: 'NoRack', message: 'no rack' }] },
    );
    assert.equal(summarise(none).isTrouble, true);
  });

  test('cannot steer the terminal by what the box says of itself', () => {
    const hostile = '\u001b[2J\u0007evil\nPhase: Provisioned';
    const status = {
      seen: { product: hostile, serials: [hostile] },
      error: { reason: 'Internal' as const, message: hostile, since: sampleNow.toISOString(), count: 1 },
      timeline: [
        { n: 1, time: sampleNow.toISOString(), type: 'Warning' as const, reason: 'X', message: hostile },
      ],
      results: [{ name: hostile, status: 'Failed' as const, output: hostile, time: sampleNow.toISOString() }],
    };
    const text = show(sampleMachine({ displayName: hostile }, status));
    assert.ok(!text.includes('\u001b') && !text.includes('\u0007'));
    assert.ok(!text.includes('\nPhase: Provisioned'));
  });
});
