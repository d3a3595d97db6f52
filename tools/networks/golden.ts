/**
 * @file PyTorch's gradients of the networks in models/networks, and the comparison with them.
 *
 * A golden holds for each tensor its Euclidean norm L, 8 of its n elements, and its products with 4 random vectors of
 * signs. For an error vector e, a product with random signs has the mean square |e|^2, so the root mean square of the 4
 * differences estimates |e| over all elements, sampled or not.
 */
import { readFile } from 'node:fs/promises';
import { z } from 'zod';
import { hashOf } from '../../models/networks/fill.ts';

// As the goldens' field "draws" describes; tools/goldens/networks/gradients.py draws the same.
const [coarseSeed, fineSeed, tintSeed] = [3_000_000_001, 3_000_000_002, 3_000_000_003];
const [positionSeed, signSeed] = [1_000_000, 2_000_000];
const patch = 8;

const numbers = z.array(z.number());
const record = z.object({ name: z.string(), l2: z.number(), dots: numbers, values: numbers });
const schema = z.object({
  regenerate: z.string(),
  norms: z.enum(['folded', 'kept', 'none']),
  opset: z.number(),
  /** Letters of N, H and W; empty for a graph of static shapes. */
  dynamicAxes: z.string(),
  images: z.number(),
  imageSize: z.number(),
  labels: numbers,
  /** The tensor that is compared as logits: the graph's output, or the input of a softmax at its end. */
  output: z.string(),
  /** How far rounding moves PyTorch's own gradients: the largest relative error of any tensor in float32. */
  f32: z.object({ worstRelativeL2: z.number(), worstTensor: z.string() }),
  loss: z.number(),
  logits: z.array(numbers),
  tensors: z.array(record),
});

const statisticsSchema = z.object({
  images: z.number(),
  imageSize: z.number(),
  momentum: z.number(),
  labels: numbers,
  loss: z.number(),
  leftOut: z.number(),
  tensors: z.array(record),
  statistics: z.array(record),
});

export type StatisticsGolden = z.infer<typeof statisticsSchema>;

export type NetworkGolden = z.infer<typeof schema>;

/** Compiled, this file lies one folder deeper. */
const up = import.meta.url.endsWith('.js') ? '../../..' : '../..';

export async function readNetworkGolden(name: string): Promise<NetworkGolden> {
  const url = new URL(`${up}/test/goldens/networks/${name}.json`, import.meta.url);
  return schema.parse(JSON.parse(await readFile(url, 'utf8')));
}

/** What PyTorch gives with the statistics of the batch (tools/goldens/networks/batch_statistics.py). */
export async function readStatisticsGolden(name: string): Promise<StatisticsGolden> {
  const url = new URL(`${up}/test/goldens/batch-statistics/${name}.json`, import.meta.url);
  return statisticsSchema.parse(JSON.parse(await readFile(url, 'utf8')));
}

/** The golden's images, u8 [N, H, W, 3]; the networks take pixel / 255. */
export function goldenImages({ images, imageSize }: Pick<NetworkGolden, 'images' | 'imageSize'>): Uint8Array {
  const [coarse, fine, tint] = [hashOf(coarseSeed), hashOf(fineSeed), hashOf(tintSeed)];
  const patches = Math.ceil(imageSize / patch);
  const pixels = new Uint8Array(images * imageSize * imageSize * 3);
  let i = 0;
  for (let n = 0; n < images; n++) {
    for (let y = 0; y < imageSize; y++) {
      for (let x = 0; x < imageSize; x++) {
        const at = (n * patches + Math.floor(y / patch)) * patches + Math.floor(x / patch);
        for (let c = 0; c < 3; c++, i++) {
          const [large, small, whole] = [coarse(at * 3 + c) >>> 24, fine(i) >>> 24, tint(n * 3 + c) >>> 24];
          pixels[i] = (2 * large + small + whole) >>> 2;
        }
      }
    }
  }
  return pixels;
}

/** How far a result is from PyTorch's. */
export interface Difference {
  /** Relative error of the loss. */
  readonly loss: number;
  /** Largest error of a logit, in root mean squares of them all. */
  readonly logits: number;
  /** Tensors compared. */
  readonly tensors: number;
  /** Estimated |error| / L of the worst tensor: by its norm, by its products with signs, or by a sampled element. */
  readonly gradient: number;
  readonly worst: string;
}

/** What an engine gave for the golden's images. */
export interface NetworkResult {
  readonly loss: number;
  /** [N, classes], row-major. */
  readonly logits: Float32Array;
  /** A gradient in the file's layout under the ONNX tensor's name; null if it was not asked for. */
  gradient(name: string): Promise<Float32Array | null>;
}

/** Compares loss, logits and the gradients of all float parameters with PyTorch's. A NaN anywhere is an infinite error. */
export async function compareWithGolden(golden: NetworkGolden, result: NetworkResult): Promise<Difference> {
  const expected = golden.logits.flat();
  const rms = Math.sqrt(expected.reduce((sum, value) => sum + value * value, 0) / expected.length);
  let [tensors, gradient, worst] = [0, 0, ''];
  for (const [index, tensor] of golden.tensors.entries()) {
    const found = await result.gradient(tensor.name);
    if (!found) continue;
    tensors++;
    const error = finite(recordError(tensor, index, found));
    if (error >= gradient) [gradient, worst] = [error, tensor.name];
  }
  return {
    loss: finite(Math.abs(result.loss / golden.loss - 1)),
    logits: finite(Math.max(...expected.map((value, i) => Math.abs((result.logits[i] ?? Number.NaN) - value))) / rms),
    tensors,
    gradient,
    worst,
  };
}

const finite = (error: number): number => (Number.isNaN(error) ? Number.POSITIVE_INFINITY : error);

/** The largest of three errors: of the norm, of the products, and of a sampled element beside the typical one. */
export function recordError(
  { l2, dots, values }: NetworkGolden['tensors'][number],
  index: number,
  gradient: Float32Array,
) {
  const n = gradient.length;
  const norm = Math.sqrt(gradient.reduce((sum, value) => sum + value * value, 0));
  const position = hashOf(positionSeed + index);
  const typical = l2 / Math.sqrt(n);
  const sampled = values.map((value, k) => {
    const difference = Math.abs((gradient[position(k) % n] ?? Number.NaN) - value);
    return difference / Math.max(Math.abs(value), typical);
  });
  const sign = hashOf(signSeed + index);
  const products = dots.map((_, v) => gradient.reduce((sum, g, i) => sum + (sign(v * n + i) >>> 31 ? -g : g), 0));
  const squares = products.reduce((sum, product, v) => sum + (product - (dots[v] ?? Number.NaN)) ** 2, 0);
  return Math.max(Math.abs(norm / l2 - 1), Math.sqrt(squares / dots.length) / l2, ...sampled);
}
