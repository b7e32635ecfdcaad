import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import { findReferences, type ReferenceContext, resolveReferences } from './variables.ts';

const context: ReferenceContext = {
  siteName: 'shop-1',
  siteVariables: { city: 'Ulm', replicas: 2, open: true },
  siteLabels: { region: 'south', 'example.com/tier.1': 'gold' },
  variables: { price: 9.5 },
  releaseName: 'till-0123456789',
  applicationName: 'till',
  applicationNamespace: 'shop',
};

describe('references in manifests', () => {
  test('are found with their paths, whatever their form', () => {
    const found = findReferences({
      spec: {
        replicas: '${site.variables.replicas}',
        containers: [{ env: [{ value: 'hello ${site.name}, ${HOME} and $${NOT}' }], args: ['${open'] }],
      },
      data: { 'a.html': '${site.variables.}' },
    });
    assert.deepEqual(
      found.map(({ path, text, kind }) => [path, text, kind]),
      [
        ['.spec.replicas', '${site.variables.replicas}', 'variable'],
        ['.spec.containers[0].env[0].value', '${site.name}', 'fact'],
        ['.spec.containers[0].env[0].value', '${HOME}', 'unknown'],
        ['.spec.containers[0].args[0]', '${', 'unknown'],
        ['.data[a.html]', '${site.variables.}', 'unknown'],
      ],
    );
  });

  test('take the values of the site; one that is the whole string keeps its type', () => {
    const { value, missing } = resolveReferences(
      {
        replicas: '${site.variables.replicas}',
        open: '${site.variables.open}',
        text: '${site.variables.replicas} tills in ${site.variables.city} (${site.name})',
        names: ['${release.name}', '${application.namespace}/${application.name}'],
        literal: 'echo $${HOME} $${',
        count: 3,
        nothing: null,
      },
      context,
    );
    assert.deepEqual(value, {
      replicas: 2,
      open: true,
      text: '2 tills in Ulm (shop-1)',
      names: ['till-0123456789', 'shop/till'],
      literal: 'echo ${HOME} ${',
      count: 3,
      nothing: null,
    });
    assert.deepEqual(missing, []);
  });

  test('missing variables are named once, sorted', () => {
    const { missing } = resolveReferences(
      [
        '${site.variables.zip}',
        'x ${site.variables.area} ${site.variables.zip}',
        '${site.variables.toString}',
      ],
      context,
    );
    assert.deepEqual(missing, ['site.variables.area', 'site.variables.toString', 'site.variables.zip']);
  });

  test('a value with a reference in it is not looked at again', () => {
    const siteVariables = { city: '${site.name}' };
    const { value } = resolveReferences('in ${site.variables.city}', { ...context, siteVariables });
    assert.equal(value, 'in ${site.name}');
  });

  test('any JSON value without a dollar sign stays as it is', () => {
    fc.assert(
      fc.property(fc.jsonValue(), (json) => {
        fc.pre(!JSON.stringify(json).includes('${'));
        assert.deepEqual(resolveReferences(json, context), { value: json, missing: [] });
      }),
    );
  });

  test('escaping every ${ of a text gives the text back', () => {
    const text = fc.array(fc.constantFrom('$', '{', '}', '${', 'a', 'site.name')).map((p) => p.join(''));
    fc.assert(
      fc.property(text, (raw) => {
        const { value, missing } = resolveReferences(raw.split('${').join('$${'), context);
        assert.deepEqual([value, missing], [raw, []]);
      }),
    );
  });
});
