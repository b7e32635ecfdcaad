import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before } from 'node:test';
import { createLogger } from '@selvedge/api/node';
import { type Hub, startHub } from '@selvedge/hub';
import { createHttpClient, type HttpClient, loadKubeconfig } from '@selvedge/kube';
import { objectClientConformance } from './object-client-conformance.ts';

let folder = '';
let hub: Hub;
let overHttps: HttpClient;

before(async () => {
  folder = await mkdtemp(join(tmpdir(), 'selvedge-object-client-'));
  hub = await startHub({
    data: folder,
    listen: '127.0.0.1:0',
    logger: createLogger({ level: 'silent' }),
  });
  overHttps = createHttpClient({ kubeconfig: await loadKubeconfig(hub.kubeconfigPath) });
});
after(async () => {
  await overHttps.close();
  await hub.close();
  await rm(folder, { recursive: true });
});

objectClientConformance('the client in process', async () => hub.client);
objectClientConformance('the client over HTTPS', async () => overHttps);
