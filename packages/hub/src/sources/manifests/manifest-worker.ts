import { parentPort, workerData } from 'node:worker_threads';
import { type ManifestText, parseManifestTexts, parseValueText } from './manifest-texts.ts';

export type WorkerTask = { readonly manifests: readonly ManifestText[] } | { readonly value: ManifestText };

/** The program of a thread that reads YAML once and ends. Its doors are in parse-manifests.ts. */
const task = workerData as WorkerTask;
parentPort?.postMessage('value' in task ? parseValueText(task.value) : parseManifestTexts(task.manifests));
