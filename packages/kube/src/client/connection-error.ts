import { StatusError } from '@selvedge/api';

/** A request that got no answer: what happened and what to check, by the code of the deepest error that has one. */
export function connectionError(server: string, cause: unknown): StatusError {
  const code = errorCode(cause);
  const { what, check } = explain(code, cause);
  return new StatusError('ServiceUnavailable', `cannot reach ${server}: ${what}; ${check}`, { cause });
}

/** The connection broke under the request, as happens when the server closes an idle one. */
export function isBrokenConnection(cause: unknown): boolean {
  const code = errorCode(cause);
  return code === 'UND_ERR_SOCKET' || code === 'ECONNRESET' || code === 'EPIPE';
}

function errorCode(cause: unknown): string {
  for (let e = cause; e instanceof Error; e = e.cause) {
    const code = (e as NodeJS.ErrnoException).code;
    if (typeof code === 'string' && code !== 'UND_ERR_SOCKET') return code;
    if (e.cause === undefined && typeof code === 'string') return code;
  }
  return '';
}

function explain(code: string, cause: unknown): { what: string; check: string } {
  const address = 'check the address in the kubeconfig';
  const network = 'check the network, proxy and firewall between here and there';
  switch (code) {
    case 'ECONNREFUSED':
      return { what: 'nothing listens there', check: `check that the server runs, and ${address}` };
    case 'ENOTFOUND':
    case 'EAI_AGAIN':
      return { what: 'the name does not resolve', check: `${address} and name resolution (DNS)` };
    case 'EHOSTUNREACH':
    case 'ENETUNREACH':
    case 'ETIMEDOUT':
    case 'UND_ERR_CONNECT_TIMEOUT':
      return { what: 'no connection could be made', check: network };
    case 'UND_ERR_HEADERS_TIMEOUT':
    case 'UND_ERR_BODY_TIMEOUT':
      return { what: 'it did not answer in time', check: `check the load of the server, and ${network}` };
    case 'CERT_HAS_EXPIRED':
    case 'CERT_NOT_YET_VALID':
      return { what: 'its certificate is not valid at this time', check: 'check the clock of this machine' };
    case 'ERR_TLS_CERT_ALTNAME_INVALID':
      return { what: 'its certificate is for another name', check: address };
    case 'DEPTH_ZERO_SELF_SIGNED_CERT':
    case 'SELF_SIGNED_CERT_IN_CHAIN':
    case 'UNABLE_TO_VERIFY_LEAF_SIGNATURE':
    case 'UNABLE_TO_GET_ISSUER_CERT':
    case 'UNABLE_TO_GET_ISSUER_CERT_LOCALLY':
    case 'CERT_SIGNATURE_FAILURE':
      return {
        what: 'its certificate is not signed by the authority in the kubeconfig',
        check: 'check that the kubeconfig is of this very server (a new data folder makes a new authority)',
      };
    default:
      return tlsOrOther(code, cause, network);
  }
}

function tlsOrOther(code: string, cause: unknown, network: string): { what: string; check: string } {
  if (code.startsWith('ERR_SSL') || code === 'EPROTO') {
    return {
      what: `no TLS connection could be made (${code})`,
      check: 'check that the address is of an HTTPS server, and the client certificate',
    };
  }
  const text = cause instanceof Error ? cause.message : String(cause);
  return { what: `the connection failed (${code || text})`, check: network };
}
