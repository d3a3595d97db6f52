/** @file Writes the exported model in a thread that ends with it; it loads nothing that only planning needs. */
import { parentPort, workerData } from 'node:worker_threads';
import { exportModel } from '../../models/onnx/export.ts';
import { readModelFile } from '../../models/onnx/model-file.ts';
import { readAnyDelta } from '../delta/delta.ts';
import { describeError } from '../engine/worker-error.ts';
import type { ExportTask } from './model-thread.ts';

const { model, delta, path } = workerData as ExportTask;

try {
  await exportModel(await readModelFile(model), await readAnyDelta(delta), path);
  parentPort?.postMessage({ result: null });
} catch (error) {
  parentPort?.postMessage({ error: describeError(error) });
}
