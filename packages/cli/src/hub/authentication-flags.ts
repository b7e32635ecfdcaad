import { type Command, Option } from 'commander';

/** The flags of `selvedge hub` that say how people and programs are known. Those of kube-apiserver have its names. */
export function addAuthenticationFlags(hub: Command): Command {
  return hub
    .option('--tls-cert-file <file>', 'certificate for the listener, with its chain, instead of our own')
    .option('--tls-private-key-file <file>', 'its key')
    .option('--client-ca-file <file>', 'more authorities whose client certificates are taken')
    .addOption(
      new Option(
        '--bootstrap-token <switch>',
        'a token for a first administrator in DATA/bootstrap-token (default off)',
      ).choices(['on', 'off']),
    )
    .option(
      '--service-account-issuer <url>',
      'issuer of service account tokens; may be repeated: the others are still taken',
      (value: string, previous: string[] | undefined) => [...(previous ?? []), value],
    )
    .option('--authentication-config <file>', 'OIDC issuers, as an AuthenticationConfiguration of Kubernetes')
    .option('--oidc-issuer-url <url>', 'one OIDC issuer, with the flags below instead of a file')
    .option('--oidc-client-id <id>', 'audience that its tokens have to name')
    .option('--oidc-username-claim <claim>', 'claim that holds the user name (default sub)')
    .option('--oidc-username-prefix <prefix>', 'put before user names; - for none (default the issuer and #)')
    .option('--oidc-groups-claim <claim>', 'claim that holds the groups')
    .option('--oidc-groups-prefix <prefix>', 'put before groups')
    .option('--oidc-ca-file <file>', "authority of the issuer's certificate");
}
