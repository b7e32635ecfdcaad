import { mkdtemp, rm } from 'node:fs/promises';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createLogger, systemClock } from '@selvedge/api/node';
import { createApiServer, type ResourceDefinition, serviceAccountDefinition } from '@selvedge/apiserver';
import { hubResourceDefinitions } from '@selvedge/hub';
import { openSqliteStore } from '@selvedge/store';
import { ApiUnderComparison } from './api-under-comparison.ts';

/** Our API server over a real store, with the kinds of the hub and those given, asked as an administrator. */
export async function startOurApiServer(
  definitions: readonly ResourceDefinition[],
): Promise<ApiUnderComparison> {
  const data = await mkdtemp(join(tmpdir(), 'selvedge-comparison-'));
  const logger = createLogger({ level: (process.env['LOG_LEVEL'] as 'silent') ?? 'silent' });
  const clock = systemClock;
  const store = await openSqliteStore({ path: join(data, 'store.db'), clock, logger });
  const kindsOfHub = hubResourceDefinitions({
    fleet: store.fleet,
    objects: store.objects,
    clock,
    connectedWithinSeconds: 60,
    issueEnrollmentToken: notHere,
    client: () => api.client({ name: 'hub', groups: ['system:masters'] }),
  });
  const token = {
    kind: { group: 'authentication.k8s.io', version: 'v1', kind: 'TokenRequest' },
    invoke: notHere,
  };
  const api = await createApiServer({
    definitions: [...kindsOfHub, serviceAccountDefinition(token), ...definitions],
    store: store.objects,
    clock,
    logger,
  });
  const certificateUser = { name: 'admin', groups: ['system:masters'] };
  const http = createServer((req, res) => void api.handle(req, res, { certificateUser }));
  await new Promise<void>((resolve) => http.listen(0, '127.0.0.1', resolve));
  const { port } = http.address() as AddressInfo;
  return new ApiUnderComparison({
    name: 'selvedge',
    url: `http://127.0.0.1:${port}`,
    close: async () => {
      await api.close();
      http.closeAllConnections();
      await new Promise((resolve) => http.close(resolve));
      await store.close();
      await rm(data, { recursive: true, force: true });
    },
  });
}

/** Needs keys, which no comparison asks for. */
async function notHere(): Promise<never> {
  throw new Error('not part of the comparison');
}
