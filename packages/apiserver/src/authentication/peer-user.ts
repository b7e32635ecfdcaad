import type { TLSSocket } from 'node:tls';
import type { UserInfo } from './user-info.ts';

/** The user that a verified client certificate names: CN is the name, each O a group. */
export function peerUser(socket: TLSSocket): UserInfo | undefined {
  if (!socket.authorized) return undefined;
  const { subject } = socket.getPeerCertificate();
  if (!subject?.CN) return undefined;
  const organisations: unknown = subject.O ?? [];
  const groups = Array.isArray(organisations) ? organisations.map(String) : [String(organisations)];
  return { name: String(subject.CN), groups };
}
