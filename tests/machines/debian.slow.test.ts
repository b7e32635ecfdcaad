import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { requireTool } from '@selvedge/testkit';
import { poll } from '../../quickstart/lab/poll.ts';
import { type Box, type BoxOptions, RackLab, rackLabTools } from './rack-lab.ts';
import { buildBootFiles, buildDebianImage, imageTools, pushImage } from './test-images.ts';

const userData = `#cloud-config
write_files:
- path: /etc/from-user-data
  content: it was here
runcmd:
- [sh, -c, "echo user data: $(cat /etc/from-user-data) at $(hostname) > /dev/ttyS0"]
`;

/** Takes long: Debian is built, and boots under emulation. */
describe('real Debian with cloud-init', requireTool(...rackLabTools, ...imageTools, 'mmdebstrap'), () => {
  let lab: RackLab;

  before(async () => {
    const image = await buildDebianImage();
    lab = await RackLab.start({ agentFlags: ['--rack-boot-files', await buildBootFiles()] });
    await pushImage(lab, 'debian', image);
  });
  after(() => lab?.close());

  for (const firmware of ['BIOS', 'UEFI'] as const) {
    test(`is provisioned on a box with ${firmware}, and runs its user data`, async () => {
      const options: BoxOptions = {
        name: `debian-${firmware.toLowerCase()}`,
        firmware,
        memoryMebibytes: 768,
        disks: [{ sizeBytes: 3 * 1024 ** 3, serial: 'debian' }],
      };
      const box: Box = await lab.addBox(options);
      await lab.createMachine(box, {
        inspection: { disabled: true },
        provision: { image: 'debian', hostname: 'till-7', userData: { text: userData } },
      });
      const { status } = await lab.waitMachine(
        box.name,
        { what: 'is Provisioned', seconds: 1500 },
        ({ phase }) => phase === 'Provisioned',
      );
      assert.ok(status?.provisioned?.confirmedTime);
      await poll(
        async () =>
          /user data: it was here at till-7/.test(await box.machine.lastLines(200)) ? true : undefined,
        { seconds: 600, what: 'its user data runs', why: () => box.machine.lastLines(60) },
      );
      await box.machine.turnOff({ isGraceful: false });
    });
  }
});
