import * as tf from '@tensorflow/tfjs';
import test from 'ava';
import { layersModelFromParts } from '../../models/tfjs/layers-model.ts';
import { toOnnx } from '../../models/tfjs/to-onnx.ts';
import { image, tolerance } from './tfjs-cases.ts';
import {
  loadInTfjs,
  maxDifference,
  randomInput,
  randomizeWeights,
  runOnnx,
  runTfjs,
  type SavedModel,
  saveModel,
  toModelJson,
} from './tfjs-oracle.ts';

test.before(async () => {
  await tf.setBackend('cpu');
});

for (const dtype of ['uint8', 'uint16', 'float16'] as const) {
  test(`weights quantised to ${dtype} give what tfjs makes of them`, async (t) => {
    const seed = 11;
    const model = tf.sequential({
      layers: [
        tf.layers.conv2d({ filters: 4, kernelSize: 3, ...image(6, 6) }),
        tf.layers.batchNormalization(),
        tf.layers.flatten(),
      ],
    });
    randomizeWeights(model, seed);
    const saved = quantise(await saveModel(model), dtype);
    const input = randomInput([2, 6, 6, 3], seed);
    const expected = await runTfjs(await loadInTfjs(saved), input);
    const actual = await runOnnx(toOnnx(layersModelFromParts(toModelJson(saved), saved.weightBytes)), input);
    const difference = maxDifference(expected.data, actual.data);
    t.true(difference <= tolerance, `seed ${seed}: differs by ${difference}, allowed ${tolerance}`);
  });
}

function quantise(saved: SavedModel, dtype: 'uint8' | 'uint16' | 'float16'): SavedModel {
  let offset = 0;
  const parts: Uint8Array[] = [];
  const weightSpecs = saved.weightSpecs.map((spec): tf.io.WeightsManifestEntry => {
    const size = spec.shape.reduce((product, extent) => product * extent, 1);
    const values = new Float32Array(saved.weightBytes.slice(offset, offset + 4 * size).buffer);
    offset += 4 * size;
    if (dtype === 'float16') {
      // Truncated halves: exact enough, since both sides decode the same bits.
      const bits = new Uint32Array(values.buffer);
      const halves = Uint16Array.from(bits, (word) => {
        const exponent = ((word >>> 23) & 0xff) - 112;
        return ((word >>> 16) & 0x8000) | (exponent <= 0 ? 0 : (exponent << 10) | ((word >>> 13) & 0x3ff));
      });
      parts.push(new Uint8Array(halves.buffer));
      return { ...spec, quantization: { dtype } };
    }
    const levels = dtype === 'uint8' ? 255 : 65535;
    const min = Math.min(...values);
    const scale = (Math.max(...values) - min) / levels || 1;
    const codes = Array.from(values, (value) => Math.round((value - min) / scale));
    parts.push(dtype === 'uint8' ? Uint8Array.from(codes) : new Uint8Array(Uint16Array.from(codes).buffer));
    return { ...spec, quantization: { dtype, min, scale } };
  });
  return { ...saved, weightSpecs, weightBytes: new Uint8Array(Buffer.concat(parts)) };
}
