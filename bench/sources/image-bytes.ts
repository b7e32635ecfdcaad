import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { depotRequest, ImageRegistry, openTestDepot } from '@selvedge/agent/testing';
import { startTcpLink } from '@selvedge/testkit';
import { type Figure, figure } from '../figure.ts';

const nodeCount = 3;
const layerBytes = 4 * 1024 * 1024;

/** What an image costs on the link of a site whose nodes all pull it from the site's depot. */
export async function measureImageBytes(tell: (line: string) => void): Promise<Figure[]> {
  const folder = await mkdtemp(join(tmpdir(), 'svg-bench-depot-'));
  try {
    await using registry = await ImageRegistry.start();
    await using link = await startTcpLink({ target: { port: registry.port } });
    const { manifestDigest } = registry.addImage('shop/till:1.0', [
      layerBytes,
      layerBytes,
      layerBytes,
      layerBytes,
      layerBytes,
    ]);
    const host = `127.0.0.1:${link.port}`;
    const depot = await openTestDepot({ directory: folder, insecureRegistries: [host] });
    try {
      tell(`${nodeCount} nodes pull one image`);
      const image = await depot.ensure(`${host}/shop/till:1.0`, depotRequest());
      if (image?.digest !== manifestDigest) throw new Error('the depot has another image');
      const served = await pullEverywhere(image.pullReference);
      const { toTarget, fromTarget } = link.passed;
      return [
        figure(
          `image bytes on the link, ${nodeCount} nodes: to the size of the image`,
          (toTarget + fromTarget) / image.sizeBytes,
          {
            unit: '×',
            mark: { atMost: 1.02 },
          },
        ),
        figure(
          'bytes that the nodes got from the depot: to the size of the image',
          served / image.sizeBytes,
          {
            unit: '×',
          },
        ),
      ];
    } finally {
      await depot.close();
    }
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

/** Every node asks for all blobs, as container runtimes do. @returns bytes of them. */
async function pullEverywhere(reference: string): Promise<number> {
  const [, host = '', repository = '', digest = ''] =
    /^([^/]+)\/(.+)@(sha256:[0-9a-f]{64})$/.exec(reference) ?? [];
  const get = async (path: string): Promise<Buffer> => {
    const answer = await fetch(`http://${host}/v2/${repository}/${path}`);
    if (!answer.ok) throw new Error(`the depot answers ${answer.status} for ${path}`);
    return Buffer.from(await answer.arrayBuffer());
  };
  const pull = async (): Promise<number> => {
    const manifest = await get(`manifests/${digest}`);
    const { config, layers } = JSON.parse(manifest.toString('utf8')) as {
      config: { digest: string };
      layers: { digest: string }[];
    };
    const blobs = await Promise.all([config, ...layers].map((blob) => get(`blobs/${blob.digest}`)));
    return blobs.reduce((sum, { length }) => sum + length, manifest.length);
  };
  const bytes = await Promise.all(Array.from({ length: nodeCount }, pull));
  return bytes.reduce((sum, one) => sum + one, 0);
}
