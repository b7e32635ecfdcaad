import assert from 'node:assert/strict';
import { test } from 'node:test';
import { makeStateDir } from '../testing/test-agent.ts';
import { AgentDatabase } from './agent-database.ts';
import {
  carriedContents,
  type CarriedState,
  findCarried,
  forgetCarried,
  putCarried,
} from './carried-state.ts';

const offered = {} as NonNullable<CarriedState['offered']>;
const first: CarriedState = { epoch: 2, contents: ['sha256:2'], sealed: [], offered };
const second: CarriedState = { epoch: 3, contents: ['sha256:3'], sealed: [], offered };

test('what came while another was taken in stays', async () => {
  await using dir = await makeStateDir();
  const database = AgentDatabase.open(dir.path);
  putCarried(database, first);
  const taken = findCarried(database) as CarriedState;
  putCarried(database, second);
  assert.equal(forgetCarried(database, taken), false);
  assert.deepEqual(findCarried(database), second);
  assert.equal(forgetCarried(database, second), true);
  assert.equal(findCarried(database), undefined);
  database.close();
});

test('contents of one that is being read are kept, also when the one before it is taken in meanwhile', async () => {
  await using dir = await makeStateDir();
  const database = AgentDatabase.open(dir.path);
  const { epoch, contents } = second;
  const both = { ...first, next: { epoch, contents } };
  putCarried(database, both);
  assert.deepEqual(carriedContents(database, 1), ['sha256:2', 'sha256:3']);
  assert.equal(forgetCarried(database, both), true);
  assert.deepEqual(carriedContents(database, 2), ['sha256:3']);
  assert.deepEqual(carriedContents(database, 3), []);
  database.close();
});
