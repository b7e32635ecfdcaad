import { text } from 'node:stream/consumers';
import { TestSite, type TestSiteDescription } from './test-site.ts';

/** A process that drives a site until it is killed; its order comes on stdin. */
const site = TestSite.reopen(JSON.parse(await text(process.stdin)) as TestSiteDescription);
await site.start();
