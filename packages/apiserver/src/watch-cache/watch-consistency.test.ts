import { startTestServer } from '../testing/test-server.ts';
import { watchConsistency } from '../testing/watch-consistency.ts';

watchConsistency('SQLite', { start: () => startTestServer() });
