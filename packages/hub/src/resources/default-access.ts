import {
  applications,
  deliveries,
  enrollmentTokens,
  machineClaims,
  machineImages,
  machines,
  machineScripts,
  machineTags,
  registryCredentials,
  releases,
  rollouts,
  sites,
} from '@selvedge/api';
import { allow, clusterRole, type DefaultAccess, readVerbs, writeVerbs } from '@selvedge/apiserver';

import { hubIdentityName } from './registry-credential-definition.ts';

const { group } = applications;
/** Who follows whom after a hub lost its memory. */
const recoveries = ['adopt', 'override'].map((action) => `${sites.plural}/${action}`);
/** Of the hub's own registry; their names are NAMESPACE/NAME, and they are in that namespace. */
const repositories = 'repositories';
const tokenText = `${enrollmentTokens.plural}/token`;
/** Requests to the site itself, in the name of whoever sends them: what they may do there is up to the site. */
const siteProxy = `${sites.plural}/proxy`;
const mirrorVerb = 'mirror';
const siteExport = `${sites.plural}/export`;
/** A terminal on the machine itself, whatever runs there. */
const machineConsole = `${machines.plural}/console`;
const machineKinds = [machines, machineImages, machineClaims, machineTags, machineScripts].map(
  ({ plural }) => plural,
);
const statusOfMachines = machineKinds.map((plural) => `${plural}/status`);
const applicationParts = [applications.plural, `${applications.plural}/status`];
const made = [releases, rollouts, deliveries].map((ref) => ref.plural);
const statusOfMade = [`${releases.plural}/status`, `${rollouts.plural}/status`];

/**
 * Roles for our own kinds. An Application holds whole manifests, Secrets among them, so `view` does not read it, as it
 * does not read Secrets: `selvedge:applications-viewer` is there for those who keep none in it.
 */
export const hubDefaultAccess: DefaultAccess = {
  clusterRoles: [
    clusterRole(
      'selvedge:aggregate-to-view',
      [
        // It names Secrets, and holds none.
        allow(readVerbs, group, [registryCredentials.plural, `${registryCredentials.plural}/status`]),
        allow(readVerbs, group, [...made, ...statusOfMade]),
        // Of no namespace: counts where the role is given everywhere.
        allow(readVerbs, group, [sites.plural, `${sites.plural}/status`]),
        allow(readVerbs, group, [...machineKinds, ...statusOfMachines]),
      ],
      { aggregateTo: 'view' },
    ),
    clusterRole(
      'selvedge:aggregate-to-edit',
      [
        allow(readVerbs, group, applicationParts),
        allow(writeVerbs, group, [applications.plural, registryCredentials.plural]),
        allow(['create'], group, [`${applications.plural}/plan`, `${applications.plural}/render`]),
        allow(['update'], group, [`${applications.plural}/finalizers`]),
        // Images of the hub's own registry: pull, push, delete.
        allow(['get', 'update', 'delete'], group, [repositories]),
        // It may be paused while it is under way.
        allow(['patch', 'update'], group, [rollouts.plural]),
      ],
      { aggregateTo: 'edit' },
    ),
    // Who lets a release out, takes it back, or consents to a removal: not everybody who may edit.
    clusterRole(
      'selvedge:release-approver',
      [
        allow(readVerbs, group, [...made, ...statusOfMade]),
        allow(['patch', 'approve'], group, [rollouts.plural]),
        // Consent to a removal stands in the object, which its bearer has to be allowed to edit as well.
        allow(['approve'], group, [applications.plural]),
        allow(['create'], group, [`${releases.plural}/lift`]),
        // Of no namespace: counts where the role is given everywhere.
        allow(['approve'], group, [sites.plural]),
        allow(['create'], group, recoveries),
      ],
      { aggregateTo: 'admin' },
    ),
    clusterRole('selvedge:image-puller', [allow(['get'], group, [repositories])]),
    clusterRole('selvedge:image-pusher', [allow(['get', 'update'], group, [repositories])]),
    clusterRole('selvedge:applications-viewer', [allow(readVerbs, group, applicationParts)]),
    clusterRole('selvedge:fleet-viewer', [
      allow(readVerbs, group, [sites.plural, `${sites.plural}/status`]),
      allow(readVerbs, group, [enrollmentTokens.plural, `${enrollmentTokens.plural}/status`]),
    ]),
    clusterRole('selvedge:fleet-admin', [
      allow([...readVerbs, ...writeVerbs], group, [sites.plural, enrollmentTokens.plural]),
      allow(readVerbs, group, [`${sites.plural}/status`, `${enrollmentTokens.plural}/status`]),
      allow(['update'], group, [`${sites.plural}/finalizers`]),
      allow(['create'], group, [tokenText, ...recoveries]),
      allow([mirrorVerb], group, [sites.plural]),
    ]),
    // Applications that take what stands in the cluster of a Site, read with the rights of its agent.
    clusterRole('selvedge:site-mirrorer', [allow([mirrorVerb], group, [sites.plural])]),
    clusterRole('selvedge:site-secrets-mirrorer', [
      allow([mirrorVerb, 'mirror-secrets'], group, [sites.plural]),
    ]),
    clusterRole('selvedge:machine-viewer', [allow(readVerbs, group, [...machineKinds, ...statusOfMachines])]),
    // Works with the machines that are there: no data is lost by it, no new code runs as root on them, nothing of their disks is read.
    clusterRole('selvedge:machine-operator', [
      allow(readVerbs, group, [...machineKinds, ...statusOfMachines]),
      allow(['update', 'patch'], group, [machines.plural]),
      allow(writeVerbs, group, [machineClaims.plural]),
    ]),
    clusterRole('selvedge:machine-admin', [
      allow([...readVerbs, ...writeVerbs], group, machineKinds),
      allow(readVerbs, group, statusOfMachines),
      allow(['update'], group, [`${machineClaims.plural}/finalizers`, `${machines.plural}/finalizers`]),
      allow(['wipe'], group, [machines.plural]),
      allow(['get', 'create'], group, [machineConsole]),
    ]),
    // Consents that what is on the disks of machines is lost: spec.wipeConsent, spec.release.erase.
    clusterRole('selvedge:machine-wiper', [allow(['wipe'], group, [machines.plural])]),
    clusterRole('selvedge:machine-console', [allow(['get', 'create'], group, [machineConsole])]),
    clusterRole('selvedge:site-reader', [allow(['get'], group, [siteProxy])]),
    // Also exec, attach and port-forward: what upgrades needs `create`. Of no namespace: counts where the role is given everywhere.
    clusterRole(
      'selvedge:site-operator',
      [allow(['get', 'create', 'update', 'patch', 'delete'], group, [siteProxy])],
      { aggregateTo: 'admin' },
    ),
    // Lets a RegistryCredential ask as the hub itself, by what stands in its environment.
    clusterRole('selvedge:hub-identity-user', [
      { ...allow(['use'], group, [registryCredentials.plural]), resourceNames: [hubIdentityName] },
    ]),
    // The archive holds the manifests of all applications of a site, Secrets in them too.
    clusterRole('selvedge:site-exporter', [
      allow(['get'], group, [sites.plural]),
      allow(['create'], group, [siteExport]),
    ]),
    // The backup holds everything, secrets too.
    clusterRole('selvedge:backup', [{ verbs: ['get'], nonResourceURLs: ['/selvedge/v1/backup'] }]),
  ],
  clusterRoleBindings: [],
};
