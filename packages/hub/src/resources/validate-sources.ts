import {
  type Application,
  type FieldError,
  fieldInvalid,
  fieldRequired,
  type HelmSource,
  type OciSource,
} from '@selvedge/api';
import { plainPath } from '../sources/folder/unpack-archive.ts';
import { kustomizationFiles } from '../sources/render/kustomize.ts';
import { parseArtifactReference } from '../sources/readers/oci-source-reader.ts';
import { validateInterval } from './validate-interval.ts';

/** Beyond the schema: whether sources of kind kustomize, helm and oci can be read at all. */
export function validateSources({ kustomize, helm, oci }: Application['spec']['source']): FieldError[] {
  const path = 'spec.source';
  return [
    ...Object.keys(kustomize?.files ?? {}).flatMap((name) =>
      validateFile(name, `${path}.kustomize.files[${name}]`),
    ),
    ...(helm ? validateHelm(helm, `${path}.helm`) : []),
    ...(oci ? validateOci(oci, `${path}.oci`) : []),
  ];
}

function validateFile(name: string, path: string): FieldError[] {
  if (plainPath(name) === undefined) return [fieldInvalid(path, name, 'must be a relative path without ..')];
  return kustomizationFiles.some((file) => plainPath(name) === file)
    ? [fieldInvalid(path, name, 'is made of spec.source.kustomize.kustomization: give it another name')]
    : [];
}

function validateHelm(
  { repository, releaseName, valuesFrom = [], interval }: HelmSource,
  path: string,
): FieldError[] {
  const errors = validateInterval(interval, `${path}.interval`);
  if (repository !== undefined) {
    const url = URL.parse(repository);
    const isKnown = url !== null && ['https:', 'http:', 'oci:'].includes(url.protocol) && url.host !== '';
    if (!isKnown || url.search !== '' || url.hash !== '') {
      errors.push(fieldInvalid(`${path}.repository`, '…', 'must be https://HOST/PATH or oci://HOST/PATH'));
    } else if (url.username !== '' || url.password !== '') {
      const rule = 'must hold no credentials: put them into the Secret of secretRef';
      errors.push(fieldInvalid(`${path}.repository`, '…', rule));
    }
  }
  if (releaseName !== undefined && !/^[a-z0-9]([-a-z0-9]{0,51}[a-z0-9])?$/.test(releaseName)) {
    const rule =
      'must be at most 53 lower case letters, digits and -, beginning and ending with a letter or digit';
    errors.push(fieldInvalid(`${path}.releaseName`, releaseName, rule));
  }
  for (const [index, { configMapKeyRef, secretKeyRef }] of valuesFrom.entries()) {
    if ((configMapKeyRef === undefined) !== (secretKeyRef === undefined)) continue;
    errors.push(
      fieldRequired(`${path}.valuesFrom[${index}]`, 'name exactly one of configMapKeyRef, secretKeyRef'),
    );
  }
  return errors;
}

function validateOci({ reference, interval, path: folder }: OciSource, path: string): FieldError[] {
  const errors = validateInterval(interval, `${path}.interval`);
  if (parseArtifactReference(reference) === undefined) {
    const rule = 'must be registry/repository:tag or registry/repository@sha256:…';
    errors.push(fieldInvalid(`${path}.reference`, reference, rule));
  }
  if (folder !== undefined && folder !== '.' && folder !== './' && plainPath(folder) === undefined) {
    errors.push(fieldInvalid(`${path}.path`, folder, 'must be a relative path without ..'));
  }
  return errors;
}
