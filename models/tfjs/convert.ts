/**
 * @file File to file: a layers model's model.json to an .onnx file.
 */
import { randomUUID } from 'node:crypto';
import { rename, rm, writeFile } from 'node:fs/promises';
import { ModelError } from '../../runtime/errors.ts';
import { encodeModel } from '../onnx/proto.ts';
import { readLayersModel } from './layers-model.ts';
import { type ToOnnxOptions, toOnnx } from './to-onnx.ts';

/**
 * Converts `inPath` (model.json) to `outPath` (.onnx), which is complete or untouched.
 *
 * @throws ModelError, UnsupportedOpError as `readLayersModel` and `toOnnx` do; ModelError where it cannot be written.
 */
export async function convertLayersModel(inPath: string, outPath: string, options: ToOnnxOptions = {}): Promise<void> {
  const bytes = encodeModel(toOnnx(await readLayersModel(inPath), options));
  const temporary = `${outPath}.${randomUUID()}.tmp`;
  try {
    await writeFile(temporary, bytes);
    await rename(temporary, outPath);
  } catch (cause) {
    // What went wrong first is what the user needs to hear.
    await rm(temporary, { force: true }).catch(() => {});
    throw new ModelError(
      `${outPath}: the ONNX file cannot be written (${cause instanceof Error ? cause.message : String(cause)}).`,
      { path: outPath },
      { cause },
    );
  }
}
