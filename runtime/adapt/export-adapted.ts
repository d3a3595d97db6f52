/** @file The model in use as files: a delta on the user's ONNX file, or that file with the delta applied. */
import { mkdtemp, rm } from 'node:fs/promises';
import { dirname, join, resolve } from 'node:path';
import { diskError } from '../delta/atomic-file.ts';
import { learntTensor, readDelta, writeDelta } from '../delta/delta.ts';
import { exportInThread } from '../train/model-thread.ts';
import type { Values } from './learner.ts';
import type { AdaptOptions } from './open.ts';
import type { AdapterFacts } from './worker-adapter.ts';

/** Writes what was learnt, over what the model was deployed with. @throws DataError if the disk refuses */
export async function writeAdaptedDelta(
  path: string,
  { delta: deployed }: Pick<AdaptOptions, 'delta'>,
  { method, changing, delta }: AdapterFacts,
  learnt: Values,
): Promise<void> {
  const own = changing.flatMap((parameter) => {
    const values = learnt.get(parameter.name);
    return values ? [learntTensor(parameter, async () => values)] : [];
  });
  const replaced = new Set(own.map(({ name }) => name));
  const before = deployed === undefined ? [] : [...(await readDelta(deployed)).tensors.values()];
  const kept = before
    .filter(({ name }) => !replaced.has(name))
    .map(({ name, shape, data }) => ({ name, shape, read: async () => data }));
  await writeDelta(path, { ...delta, notes: { method } }, [...kept, ...own]);
}

/** Writes the user's ONNX file with the adapted values. @throws DataError if the disk refuses */
export async function writeAdaptedModel(
  path: string,
  options: Pick<AdaptOptions, 'model' | 'delta'>,
  facts: AdapterFacts,
  learnt: Values,
): Promise<void> {
  const scratch = await mkdtemp(join(dirname(resolve(path)), '.edgeshift-')).catch((cause: unknown) => {
    throw diskError(path, cause);
  });
  try {
    const delta = join(scratch, 'delta.safetensors');
    await writeAdaptedDelta(delta, options, facts, learnt);
    await exportInThread({ model: options.model, delta, path });
  } finally {
    await rm(scratch, { recursive: true, force: true });
  }
}
