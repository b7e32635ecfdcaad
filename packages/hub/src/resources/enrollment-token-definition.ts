import {
  type EnrollmentToken,
  enrollmentTokenSpecSchema,
  enrollmentTokenStatusSchema,
  enrollmentTokens,
  type FieldError,
  faultOfDnsSubdomain,
  faultOfLabelKey,
  faultOfLabelValue,
  fieldInvalid,
  type KubeObject,
  parseDuration,
} from '@selvedge/api';
import type { ResourceDefinition } from '@selvedge/apiserver';
import { validateDuration } from './validate-strategy.ts';

/** Makes the text that an agent is started with. */
export type IssueToken = (token: EnrollmentToken, body: unknown) => Promise<KubeObject>;

export function enrollmentTokenDefinition(issueToken: IssueToken): ResourceDefinition {
  return {
    ref: enrollmentTokens,
    singular: 'enrollmenttoken',
    shortNames: ['et'],
    categories: ['selvedge'],
    description:
      'Lets new agents join. `selvedge site token NAME` makes one and prints the text for the agent.',
    statusSubresource: true,
    schema: {
      type: 'object',
      required: ['spec'],
      properties: { spec: enrollmentTokenSpecSchema, status: enrollmentTokenStatusSchema },
    },
    validate: (object) => validateToken(object as EnrollmentToken),
    actions: {
      token: {
        kind: { group: 'selvedge.dev', version: 'v1alpha1', kind: 'EnrollmentTokenRequest' },
        invoke: (object, body) => issueToken(object as EnrollmentToken, body),
      },
    },
    columns: [
      {
        name: 'Site',
        type: 'string',
        description: 'Site that the agent becomes, or the template of its name.',
        value: (o) => (o as EnrollmentToken).spec.siteName ?? (o as EnrollmentToken).spec.siteNameTemplate,
      },
      {
        name: 'Used',
        type: 'string',
        description: 'Agents that joined, of those that may.',
        value: (o) => {
          const { spec, status } = o as EnrollmentToken;
          return `${status?.usedCount ?? status?.used?.length ?? 0}/${spec.uses ?? 1}`;
        },
      },
      {
        name: 'Pending',
        type: 'integer',
        description: 'Agents that wait for approval.',
        value: (o) => (o as EnrollmentToken).status?.pending?.length ?? 0,
      },
      {
        name: 'Valid Until',
        type: 'string',
        description: 'When the token expires.',
        value: (o) => expiryOf(o as EnrollmentToken)?.toISOString(),
      },
    ],
  };
}

/** `undefined` before the object has a creation time. */
export function expiryOf({ metadata, spec }: EnrollmentToken): Date | undefined {
  if (metadata.creationTimestamp === undefined) return undefined;
  const seconds = parseDuration(spec.ttl ?? '24h') ?? 0;
  return new Date(Date.parse(metadata.creationTimestamp) + seconds * 1000);
}

function validateToken({ spec }: EnrollmentToken): FieldError[] {
  return [
    ...validateNames(spec),
    ...validateLabels(spec.siteLabels),
    ...validateDuration(spec.ttl, 'spec.ttl'),
  ];
}

function validateNames({ siteName, siteNameTemplate, uses }: EnrollmentToken['spec']): FieldError[] {
  const fault = siteName === undefined ? undefined : faultOfDnsSubdomain(siteName);
  return [
    ...(fault ? [fieldInvalid('spec.siteName', siteName, fault)] : []),
    ...(siteNameTemplate === undefined ? [] : validateTemplate(siteNameTemplate, uses ?? 1)),
  ];
}

function validateTemplate(template: string, uses: number): FieldError[] {
  const path = 'spec.siteNameTemplate';
  const sample = template.replaceAll(/\{(hostname|random)\}/g, 'x');
  if (faultOfDnsSubdomain(sample)) {
    const rule =
      'must be a lower case DNS name in which {hostname} and {random} are replaced, as in shop-{hostname}';
    return [fieldInvalid(path, template, rule)];
  }
  if (uses > 1 && sample === template) {
    return [
      fieldInvalid(path, template, 'must contain {hostname} or {random}, for every agent needs its own name'),
    ];
  }
  return [];
}

function validateLabels(labels: Record<string, string> | undefined): FieldError[] {
  return Object.entries(labels ?? {}).flatMap(([key, value]) => {
    const keyFault = faultOfLabelKey(key);
    const valueFault = faultOfLabelValue(value);
    return [
      ...(keyFault ? [fieldInvalid('spec.siteLabels', key, keyFault)] : []),
      ...(valueFault ? [fieldInvalid(`spec.siteLabels[${key}]`, value, valueFault)] : []),
    ];
  });
}
