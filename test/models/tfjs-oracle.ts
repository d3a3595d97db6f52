/**
 * @file Runs one Keras model twice: in TensorFlow.js as it is, and converted to ONNX in onnxruntime.
 */
import * as tf from '@tensorflow/tfjs';
import * as ort from 'onnxruntime-node';
import { encodeModel, type ModelProto } from '../../models/onnx/proto.ts';

/** What tfjs hands to a save handler, in the shape model.json has. */
export interface SavedModel {
  readonly modelTopology: object;
  readonly weightSpecs: tf.io.WeightsManifestEntry[];
  readonly weightBytes: Uint8Array;
}

export function mulberry32(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
}

/** Gives every weight seeded values, variances positive, so that no bias or norm is left at its trivial start. */
export function randomizeWeights(model: tf.LayersModel, seed: number): void {
  const random = mulberry32(seed);
  const values = model.weights.map(({ name, shape }) => {
    const size = shape.reduce<number>((product, extent) => product * (extent ?? 1), 1);
    const positive = name.includes('variance') || name.includes('gamma');
    return tf.tensor(
      Float32Array.from({ length: size }, () => (positive ? 0.5 + random() : random() - 0.5)),
      shape.map((extent) => extent ?? 1),
    );
  });
  model.setWeights(values);
}

export async function saveModel(model: tf.LayersModel): Promise<SavedModel> {
  let saved: SavedModel | undefined;
  await model.save(
    tf.io.withSaveHandler(async ({ modelTopology, weightSpecs, weightData }) => {
      const buffers = Array.isArray(weightData) ? weightData : [weightData ?? new ArrayBuffer(0)];
      saved = {
        modelTopology: JSON.parse(JSON.stringify(modelTopology)),
        weightSpecs: weightSpecs ?? [],
        weightBytes: new Uint8Array(Buffer.concat(buffers.map((buffer) => new Uint8Array(buffer)))),
      };
      return { modelArtifactsInfo: { dateSaved: new Date(0), modelTopologyType: 'JSON' } };
    }),
  );
  if (!saved) throw new Error('tfjs saved nothing');
  return saved;
}

/** The parsed model.json tfjs would write for it. */
export function toModelJson({ modelTopology, weightSpecs }: SavedModel): object {
  return { modelTopology, weightsManifest: [{ paths: ['weights.bin'], weights: weightSpecs }] };
}

export async function loadInTfjs({ modelTopology, weightSpecs, weightBytes }: SavedModel): Promise<tf.LayersModel> {
  const weightData = new Uint8Array(weightBytes).buffer;
  return await tf.loadLayersModel(tf.io.fromMemory({ modelTopology, weightSpecs, weightData }));
}

/** Seeded values in [0,1). */
export function randomInput(shape: readonly number[], seed: number): tf.Tensor {
  const random = mulberry32(seed);
  const size = shape.reduce((product, extent) => product * extent, 1);
  return tf.tensor(Float32Array.from({ length: size }, random), [...shape]);
}

/** Runs the ONNX model on a tensor in Keras layout and gives the outputs in Keras layout too. */
export async function runOnnx(model: ModelProto, input: tf.Tensor): Promise<{ data: Float32Array; shape: number[] }> {
  const session = await ort.InferenceSession.create(encodeModel(model), { intraOpNumThreads: 1, logSeverityLevel: 3 });
  const nchw = input.rank === 4 ? tf.transpose(input, [0, 3, 1, 2]) : input;
  const feeds = { [session.inputNames[0] ?? '']: new ort.Tensor('float32', await nchw.data<'float32'>(), nchw.shape) };
  const output = (await session.run(feeds))[session.outputNames[0] ?? ''];
  await session.release();
  if (!(output?.data instanceof Float32Array)) throw new Error('the ONNX model gave no float32 output');
  const tensor = tf.tensor(output.data, [...output.dims]);
  const nhwc = tensor.rank === 4 ? tf.transpose(tensor, [0, 2, 3, 1]) : tensor;
  return { data: await nhwc.data<'float32'>(), shape: nhwc.shape };
}

export async function runTfjs(
  model: tf.LayersModel,
  input: tf.Tensor,
): Promise<{ data: Float32Array; shape: number[] }> {
  const output = model.predict(input);
  if (Array.isArray(output)) throw new Error('the Keras model has several outputs');
  return { data: await output.data<'float32'>(), shape: output.shape };
}

/** Largest absolute difference; NaN where either side holds one. */
export function maxDifference(a: Float32Array, b: Float32Array): number {
  if (a.length !== b.length) return Number.POSITIVE_INFINITY;
  return a.reduce((worst, value, index) => {
    const difference = Math.abs(value - (b[index] ?? Number.NaN));
    return Number.isNaN(difference) || difference > worst ? difference : worst;
  }, 0);
}
