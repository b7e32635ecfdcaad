/** S3 answers in XML. What is read of it is flat and of few characters, so that no parser is needed. */
const entities: Readonly<Record<string, string>> = { amp: '&', lt: '<', gt: '>', quot: '"', apos: "'" };

/** Text of the first element of this name. */
export function textOf(document: Buffer | string, element: string): string | undefined {
  const text = new RegExp(`<${element}>([^<]*)</${element}>`).exec(document.toString())?.[1];
  return text?.replace(/&(\w+|#x?[0-9a-fA-F]+);/g, (whole, name: string) => entityOf(name) ?? whole);
}

/** Of ListObjectsV2. */
export function listedObjects(document: Buffer): { key: string; sizeBytes: number; modifiedAt: Date }[] {
  return elements(document, 'Contents').map((object) => ({
    key: textOf(object, 'Key') ?? '',
    sizeBytes: Number(textOf(object, 'Size') ?? Number.NaN),
    modifiedAt: new Date(textOf(object, 'LastModified') ?? Number.NaN),
  }));
}

/** Of ListMultipartUploads. */
export function unfinishedUploads(document: Buffer): { key: string; uploadId: string; startedAt: Date }[] {
  return elements(document, 'Upload').map((upload) => ({
    key: textOf(upload, 'Key') ?? '',
    uploadId: textOf(upload, 'UploadId') ?? '',
    startedAt: new Date(textOf(upload, 'Initiated') ?? Number.NaN),
  }));
}

function elements(document: Buffer, name: string): string[] {
  return [...document.toString('utf8').matchAll(new RegExp(`<${name}>(.*?)</${name}>`, 'gs'))].map(
    ([, content = '']) => content,
  );
}

function entityOf(name: string): string | undefined {
  if (!name.startsWith('#')) return entities[name];
  const code = name.startsWith('#x') ? Number.parseInt(name.slice(2), 16) : Number(name.slice(1));
  return String.fromCodePoint(code);
}
