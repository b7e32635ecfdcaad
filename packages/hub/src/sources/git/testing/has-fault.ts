import assert from 'node:assert/strict';
import { SourceError, type SourceFault } from '../../source-reading.ts';

/** For `assert.rejects`: a SourceError of this fault with these words. */
export function hasFault(fault: SourceFault, words: RegExp): (error: unknown) => boolean {
  return (error) => {
    assert.ok(error instanceof SourceError, String(error));
    assert.equal(error.fault, fault, error.message);
    assert.match(error.message, words);
    return true;
  };
}
