#!/usr/bin/env node
import { runOnPinnedNode } from '@selvedge/api/pinned-node';

await runOnPinnedNode('selvedge-agent', new URL('../src/main.ts', import.meta.url));
