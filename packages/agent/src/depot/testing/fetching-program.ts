import { openTestDepot, request } from './depot-under-test.ts';

/** A process that brings an image into a depot until it is killed: `fetching-program.ts DIRECTORY REGISTRY IMAGE`. */
const [directory = '', registry = '', image = ''] = process.argv.slice(2);
const depot = await openTestDepot({ directory, insecureRegistries: [registry] });
await depot.ensure(image, request());
await depot.close();
