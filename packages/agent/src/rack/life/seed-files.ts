import type { MachineOrder, RackImage, UserData } from '@selvedge/api';

/** Files of the NoCloud seed, by name. @param readSecret text of a key of a Secret; throws when it is not here. */
export function seedFiles(
  order: MachineOrder,
  seed: {
    readonly image: RackImage | undefined;
    readonly confirmUrl: string;
    readonly readSecret: (id: string, key: string) => string;
  },
): ReadonlyMap<string, string> {
  const { image, confirmUrl, readSecret } = seed;
  const { provision } = order;
  const text = (data: UserData | undefined) => {
    if (data === undefined) return '';
    return 'text' in data ? data.text : readSecret(data.secret, data.key);
  };
  const files = new Map<string, string>();
  const id = provision?.instanceId ?? order.uid;
  // Text as JSON has it is YAML too: nothing in a name can break out of it. A line each, for systems that read no more than that.
  const hostname = provision?.hostname ?? order.name;
  files.set('meta-data', `instance-id: ${JSON.stringify(id)}\nlocal-hostname: ${JSON.stringify(hostname)}\n`);
  files.set('user-data', text(provision?.userData ?? image?.userData) || '#cloud-config\n{}\n');
  const phoneHome = { url: confirmUrl, post: ['instance_id', 'hostname'], tries: phoneTries };
  files.set('vendor-data', `#cloud-config\n${JSON.stringify({ phone_home: phoneHome })}\n`);
  const { networkConfig } = provision ?? {};
  if (networkConfig !== undefined) files.set('network-config', networkConfig);
  return files;
}

const phoneTries = 30;
