import {
  type FieldError,
  faultOfLabelKey,
  faultOfLabelValue,
  fieldDuplicate,
  fieldInvalid,
  type NodeGroup,
} from '@selvedge/api';

type Toleration = NonNullable<NodeGroup['tolerations']>[number];

/** Beyond the schema: whether the cluster at the site would take what is put into pods for these groups. */
export function validateNodeGroups(groups: readonly NodeGroup[] | undefined, path: string): FieldError[] {
  return (groups ?? []).flatMap(({ name, nodeSelector = {}, tolerations = [] }, n) => {
    const at = `${path}[${n}]`;
    const isRepeated = groups?.findIndex((group) => group.name === name) !== n;
    return [
      ...(isRepeated ? [fieldDuplicate(`${at}.name`, name)] : []),
      ...Object.entries(nodeSelector).flatMap(([key, value]) =>
        validateLabel(key, value, `${at}.nodeSelector`),
      ),
      ...tolerations.flatMap((toleration, i) => validateToleration(toleration, `${at}.tolerations[${i}]`)),
    ];
  });
}

function validateLabel(key: string, value: string, path: string): FieldError[] {
  const [keyFault, valueFault] = [faultOfLabelKey(key), faultOfLabelValue(value)];
  return [
    ...(keyFault === undefined ? [] : [fieldInvalid(path, key, keyFault)]),
    ...(valueFault === undefined ? [] : [fieldInvalid(`${path}[${key}]`, value, valueFault)]),
  ];
}

/** The rules of Kubernetes for tolerations of pods. */
function validateToleration(toleration: Toleration, path: string): FieldError[] {
  const { key = '', operator = 'Equal', value = '', effect, tolerationSeconds } = toleration;
  const errors: FieldError[] = [];
  const keyFault = key === '' ? undefined : faultOfLabelKey(key);
  if (keyFault !== undefined) errors.push(fieldInvalid(`${path}.key`, key, keyFault));
  if (key === '' && operator !== 'Exists') {
    errors.push(fieldInvalid(`${path}.operator`, operator, 'must be Exists where there is no key'));
  }
  if (operator === 'Exists' && value !== '') {
    errors.push(fieldInvalid(`${path}.value`, value, 'must be left out with operator Exists'));
  }
  const valueFault = faultOfLabelValue(value);
  if (operator === 'Equal' && valueFault !== undefined) {
    errors.push(fieldInvalid(`${path}.value`, value, valueFault));
  }
  if (tolerationSeconds !== undefined && effect !== 'NoExecute') {
    errors.push(
      fieldInvalid(`${path}.effect`, effect ?? '', 'must be NoExecute where tolerationSeconds is given'),
    );
  }
  return errors;
}
