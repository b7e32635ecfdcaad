/** Of a request body, of an object as it is stored, and of what the copies of a patch may make. */
export const maxObjectBytes = 3 * 1024 * 1024;

/** Deeper than any manifest; a limit keeps walks over objects from overflowing the stack. */
export const maxDepth = 200;
