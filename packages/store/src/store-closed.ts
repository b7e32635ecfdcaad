import { StatusError } from '@selvedge/api';

export function storeClosed(): StatusError {
  return new StatusError('ServiceUnavailable', 'the store is closed');
}
