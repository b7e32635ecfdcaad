/**
 * The hub: one process that serves the Kubernetes-style API of our kinds, runs the controllers that turn Applications
 * into assignments of sites, and is the only door through which sites speak to us.
 *
 * - `server/` composes everything; its start and stop order is one list in `start-hub.ts`.
 * - `identity/` makes and keeps the keys by which agents and people know this hub.
 * - `gateway/` is what agents speak: enrolment, the sync long-poll, content by digest.
 * - `backup/` gets the store and the keys out of a hub and into another, and changes the key of the store.
 * - `resources/` declares the kinds to the API server, `controllers/` keep them true, `rollout/` plans purely.
 *
 * `runHub` is the program behind `selvedge hub`; `startHub` gives tests and the quickstart a hub in process.
 */
export {
  type CertificateReport,
  type ClientCertificateWish,
  HubCertificates,
  type Renewable,
} from './identity/certificates.ts';
export type { BackupSummary } from './backup/backup-contents.ts';
export { BackupError } from './backup/backup-stream.ts';
export { packDataDirectory, verifyDataDirectory } from './backup/data-directory.ts';
export { backupPath, rotateStoreKeyPath } from './backup/endpoints.ts';
export { restoreBackup, type RestoreOptions } from './backup/restore-backup.ts';
export { readBackupFile, verifyBackupFile, writeBackupFile } from './backup/write-backup-file.ts';
export { planRollout } from './rollout/plan-rollout.ts';
export type { RolloutInput, RolloutPlan, SiteFacts } from './rollout/rollout-input.ts';
export { DataDirectoryError } from './identity/private-file.ts';
export { awsKeysOf } from './server/ecr-options.ts';
export { HubOptionError } from './server/hub-option-error.ts';
export type { HubOptions } from './server/hub-options.ts';
export { openStoreWithKeys } from './server/open-hub-store.ts';
export { resolveStoreOptions } from './server/store-options.ts';
export { runHub } from './server/run-hub.ts';
export { hubResourceDefinitions } from './resources/index.ts';
export { type Hub, startHub } from './server/start-hub.ts';
