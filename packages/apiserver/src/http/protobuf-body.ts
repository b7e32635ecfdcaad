import { badRequest, type JsonObject, StatusError } from '@selvedge/api';
import { findMessage } from './protobuf-kinds.ts';
import { message, readMessage } from './protobuf-message.ts';
import { ProtobufReader } from './protobuf-reader.ts';

const magic = Buffer.from('k8s\0', 'latin1');
const typeMeta = message({ apiVersion: [1, 'string'], kind: [2, 'string'] });

/**
 * The object in a body of type application/vnd.kubernetes.protobuf, as it would be in JSON. kubectl since 1.32 and
 * typed clients send built-in kinds so. Throws `BadRequest` for what is no such message, `UnsupportedMediaType` for
 * kinds that have no form in protobuf.
 */
export function decodeProtobuf(body: Buffer): JsonObject {
  if (!body.subarray(0, magic.length).equals(magic)) {
    throw badRequest('the body is not a Kubernetes protobuf message');
  }
  const { apiVersion, kind, raw } = readEnvelope(body.subarray(magic.length));
  const table = findMessage(apiVersion, kind);
  if (!table) {
    const name = `${apiVersion} ${kind}`.slice(0, 200);
    throw new StatusError('UnsupportedMediaType', `${name} cannot be read as protobuf: send it as JSON`);
  }
  return { apiVersion, kind, ...readMessage(raw, table) };
}

/** `runtime.Unknown`. */
function readEnvelope(bytes: Buffer): { apiVersion: string; kind: string; raw: Buffer } {
  const reader = new ProtobufReader(bytes);
  let type: { apiVersion?: string; kind?: string } = {};
  let raw: Buffer = Buffer.alloc(0);
  for (let number = reader.nextField(); number !== undefined; number = reader.nextField()) {
    if (number === 1) type = readMessage(reader.readBytes(), typeMeta);
    else if (number === 2) raw = reader.readBytes();
    else if (number === 3) refuseEncoding(reader.readText());
    else reader.skip();
  }
  const { apiVersion = '', kind = '' } = type;
  return { apiVersion, kind, raw };
}

function refuseEncoding(encoding: string): void {
  if (encoding === '') return;
  throw new StatusError('UnsupportedMediaType', 'the encoding of the protobuf message is not supported');
}
