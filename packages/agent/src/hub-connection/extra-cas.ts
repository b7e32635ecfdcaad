import { X509Certificate } from 'node:crypto';
import { readFile } from 'node:fs/promises';

/** The CAs in files of PEM, one text for each certificate. Throws an error that names the file which cannot be used. */
export async function readExtraCas(paths: readonly string[]): Promise<string[]> {
  const found = await Promise.all(paths.map(readCaFile));
  return found.flat();
}

async function readCaFile(path: string): Promise<string[]> {
  let text: string;
  try {
    text = await readFile(path, 'utf8');
  } catch (cause) {
    throw new Error(`the CA file ${path} cannot be read; check --ca-file`, { cause });
  }
  const certificates = text.match(/-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/g) ?? [];
  if (certificates.length === 0) {
    throw new Error(`the CA file ${path} has no certificate in PEM; check --ca-file`);
  }
  for (const certificate of certificates) {
    try {
      if (new X509Certificate(certificate).ca) continue;
    } catch (cause) {
      throw new Error(`a certificate in the CA file ${path} is damaged; check --ca-file`, { cause });
    }
    throw new Error(`${path} has a certificate that is not one of a CA; give the CA's with --ca-file`);
  }
  return certificates;
}
