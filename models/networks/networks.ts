/**
 * @file Exported networks of many architectures, without weights in the repository: test fixtures.
 *
 * The files hold what torch.onnx.export wrote, but large float tensors are ranges and seeds (see fill.ts).
 */
import { createHash } from 'node:crypto';
import { mkdir, readdir, readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { writeAtomically } from '../../runtime/delta/atomic-file.ts';
import { ModelError } from '../../runtime/errors.ts';
import { weightTensors } from '../onnx/model-file.ts';
import { decodeModel, encodeModel, type ModelProto, tensorDims } from '../onnx/proto.ts';
import { fillUniform, parseUniform } from './fill.ts';

/** Compiled, this file lies one folder deeper; the compiler does not copy ONNX files. */
const up = import.meta.url.endsWith('.js') ? '../../..' : '../..';
const modelsFolder = fileURLToPath(new URL(`${up}/models/networks/`, import.meta.url));
const cacheFolder = fileURLToPath(new URL(`${up}/.cache/networks/`, import.meta.url));

/** Names of all networks, such as "resnet18-folded-opset11", in alphabetical order. */
export async function networkNames(): Promise<string[]> {
  const files = await readdir(modelsFolder);
  return files
    .filter((file) => file.endsWith('.onnx'))
    .map((file) => file.slice(0, -'.onnx'.length))
    .sort();
}

/** The network as it lies in the repository; its large tensors have no data. */
export async function readWeightless(name: string): Promise<ModelProto> {
  return decodeModel(await readSource(name));
}

async function readSource(name: string): Promise<Uint8Array> {
  const path = join(modelsFolder, `${name}.onnx`);
  return readFile(path).catch(async (cause: unknown) => {
    const names = await networkNames();
    throw new ModelError(
      `there is no network "${name}"\nHint: the networks are ${names.join(', ')}`,
      { name, path },
      { cause },
    );
  });
}

/** Gives every tensor its data, in place, and removes the texts that described them. */
export function fillWeights(model: ModelProto): void {
  for (const tensor of weightTensors(model)) {
    const uniform = parseUniform(tensor.docString, tensor.name);
    if (!uniform) continue;
    const length = tensorDims(tensor).reduce((product, extent) => product * extent, 1);
    tensor.rawData = new Uint8Array(fillUniform(uniform, length).buffer);
    tensor.docString = '';
  }
}

const beingWritten = new Map<string, Promise<string>>();

/**
 * Gives the path of `<name>.onnx` with weights in `folder`, writing it first where it is missing or of another source.
 *
 * The bytes are the same on every machine; the file is complete or absent. `<name>.stamp` beside it says from which bytes
 * it was made. All networks together take 1.7 GB.
 *
 * @throws ModelError where no network has that name
 * @throws DataError where the file cannot be written
 */
export function materializeNetwork(name: string, folder: string = cacheFolder): Promise<string> {
  const path = join(folder, `${name}.onnx`);
  const running = beingWritten.get(path) ?? writeNetwork(name, folder, path).finally(() => beingWritten.delete(path));
  beingWritten.set(path, running);
  return running;
}

async function writeNetwork(name: string, folder: string, path: string): Promise<string> {
  const source = await readSource(name);
  const stampPath = join(folder, `${name}.stamp`);
  const stamp = (bytes: number) => `${createHash('sha256').update(source).digest('hex')} ${bytes}\n`;
  const [found, present] = await Promise.all([
    readFile(stampPath, 'utf8').catch(() => ''),
    stat(path).catch(() => null),
  ]);
  if (present && found === stamp(present.size)) return path;
  const model = decodeModel(source);
  fillWeights(model);
  const bytes = encodeModel(model);
  await mkdir(folder, { recursive: true });
  await writeAtomically(path, [bytes]);
  await writeAtomically(stampPath, [new TextEncoder().encode(stamp(bytes.length))]);
  return path;
}
