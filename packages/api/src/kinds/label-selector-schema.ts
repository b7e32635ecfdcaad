import Type from 'typebox';

export const labelSelectorSchema = Type.Object(
  {
    matchLabels: Type.Optional(
      Type.Record(Type.String(), Type.String(), {
        description: 'Labels that have to be there, all of them.',
      }),
    ),
    matchExpressions: Type.Optional(
      Type.Array(
        Type.Object({
          key: Type.String({ description: 'Key of the label.' }),
          operator: Type.Union(
            [Type.Literal('In'), Type.Literal('NotIn'), Type.Literal('Exists'), Type.Literal('DoesNotExist')],
            {
              description:
                'How the label has to relate to values. NotIn also holds where the label is absent.',
            },
          ),
          values: Type.Optional(
            Type.Array(Type.String(), { description: 'For In and NotIn, at least one; else none.' }),
          ),
        }),
        { description: 'Conditions on labels, all of which have to hold.' },
      ),
    ),
  },
  { description: 'Label selector. An empty one selects everything.' },
);
