import Type from 'typebox';

/** What several kinds of machines share. */
export const oneOf = <const T extends readonly string[]>(values: T, description: string) =>
  Type.Unsafe<T[number]>({ type: 'string', enum: [...values], description });

export const secretReferenceSchema = (description: string) =>
  Type.Object(
    {
      namespace: Type.String({ minLength: 1, maxLength: 253, description: 'Namespace of the Secret.' }),
      name: Type.String({ minLength: 1, maxLength: 253, description: 'Name of the Secret.' }),
    },
    { description },
  );

export const userDataSchema = (description: string) =>
  Type.Object(
    {
      text: Type.Optional(
        Type.String({
          maxLength: 65536,
          description: 'As it is. Everybody who may read this object can read it.',
        }),
      ),
      secretRef: Type.Optional(
        Type.Object(
          {
            namespace: Type.String({ minLength: 1, maxLength: 253, description: 'Namespace of the Secret.' }),
            name: Type.String({ minLength: 1, maxLength: 253, description: 'Name of the Secret.' }),
            key: Type.Optional(
              Type.String({ maxLength: 253, default: 'userData', description: 'Key in it.' }),
            ),
          },
          { description: 'A key of a Secret at the hub; it travels sealed to the site.' },
        ),
      ),
    },
    {
      description,
      'x-kubernetes-validations': [
        { rule: 'has(self.text) != has(self.secretRef)', message: 'give exactly one of text, secretRef' },
      ],
    },
  );

export const rootDeviceHintsSchema = Type.Object(
  {
    deviceName: Type.Optional(
      Type.String({ maxLength: 200, description: '/dev/sda, or a link under /dev/disk.' }),
    ),
    serialNumber: Type.Optional(Type.String({ maxLength: 100, description: 'Serial number of the disk.' })),
    wwn: Type.Optional(Type.String({ maxLength: 100, description: 'World wide name of the disk.' })),
    model: Type.Optional(Type.String({ maxLength: 100, description: 'Part of the model, without case.' })),
    vendor: Type.Optional(Type.String({ maxLength: 100, description: 'Part of the vendor, without case.' })),
    hctl: Type.Optional(Type.String({ maxLength: 40, description: 'SCSI address: 0:0:0:0.' })),
    minSizeGigabytes: Type.Optional(Type.Integer({ minimum: 1, description: 'Least size, in 10^9 bytes.' })),
    rotational: Type.Optional(
      Type.Boolean({ description: 'true: a disk that turns. false: one that does not.' }),
    ),
  },
  { description: 'Which disk; all that are given must fit. Default: the smallest that the image fits on.' },
);
