/** Holds a deleted Application until its removal is ordered from its sites, a deleted Site until it may leave the fleet. */
export const removalFinalizer = 'selvedge.dev/removal';
