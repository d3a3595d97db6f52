/** @file `edgeshift convert`: TensorFlow.js layers model in, ONNX out. */
import { convertLayersModel } from '../../../models/tfjs/convert.ts';
import { type Flags, given, numberFlag } from '../flags.ts';

export async function run([input = '', output = '']: readonly string[], flags: Flags): Promise<number> {
  await convertLayersModel(input, output, given({ imageSize: numberFlag(flags, 'imageSize') }));
  console.log(flags.json === true ? JSON.stringify({ export: output }) : `${output} written`);
  return 0;
}
