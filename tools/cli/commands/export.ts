/** @file `edgeshift export`: a delta written back into its base model. */
import { exportModel } from '../../../models/onnx/export.ts';
import { readModelFile } from '../../../models/onnx/model-file.ts';
import { readDelta } from '../../../runtime/delta/delta.ts';
import { type Flags, textFlag } from '../flags.ts';

export async function run([model = '']: readonly string[], flags: Flags): Promise<number> {
  const [deltaPath = '', out = ''] = [textFlag(flags, 'delta'), textFlag(flags, 'out')];
  const delta = await readDelta(deltaPath);
  await exportModel(await readModelFile(model), delta, out);
  const result = { export: out, base: delta.base, tensors: delta.tensors.size, classes: delta.classes };
  if (flags.json === true) console.log(JSON.stringify(result));
  else console.log(`${out}: ${result.tensors} tensors of ${deltaPath} written into ${model}`);
  return 0;
}
