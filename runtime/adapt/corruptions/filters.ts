/** @file Smoothing and sampling of square images of interleaved channels. */

/**
 * Which value stands for one outside of the image: `nearest` aaa|abc|ccc, `reflect` cba|abc|cba, `reflect101` cb|abc|ba.
 */
export type Border = 'nearest' | 'reflect' | 'reflect101';

/** Position inside [0, length) that stands for any whole `position`. */
export function inside(position: number, length: number, border: Border): number {
  if (position >= 0 && position < length) return position;
  if (border === 'nearest' || length === 1) return position < 0 ? 0 : length - 1;
  const repeated = border === 'reflect' ? 1 : 0;
  const period = 2 * (length - 1 + repeated);
  const folded = ((position % period) + period) % period;
  return folded < length ? folded : period - repeated - folded;
}

/** Normalised weights of a sampled Gaussian, `radius` to each side; one weight if the radius is 0. */
export function gaussianKernel(sigma: number, radius: number): Float64Array {
  const weights = new Float64Array(2 * radius + 1).fill(1);
  let sum = 0;
  for (let i = 0; i < weights.length; i++) {
    if (radius > 0) weights[i] = Math.exp((-0.5 / (sigma * sigma)) * (i - radius) ** 2);
    sum += weights[i] as number;
  }
  return weights.map((weight) => weight / sum);
}

export interface BlurOptions {
  /** In pixels; 0 changes nothing. */
  readonly sigma: number;
  /** Default `nearest`. */
  readonly border?: Border;
  /** The kernel ends after this many sigmas. Default 4. */
  readonly truncate?: number;
}

/** Gaussian blur of every channel, as scipy.ndimage.gaussian_filter and skimage.filters.gaussian define it. */
export function gaussianBlur(
  values: Float64Array,
  side: number,
  channels: number,
  { sigma, border = 'nearest', truncate = 4 }: BlurOptions,
): Float64Array {
  const radius = Math.trunc(truncate * sigma + 0.5);
  if (radius === 0) return values;
  const weights = gaussianKernel(sigma, radius);
  const columns = smoothAxis(values, side, channels, weights, border, 0);
  return smoothAxis(columns, side, channels, weights, border, 1);
}

/** Symmetric weights along one axis: 0 goes down, 1 goes right. */
function smoothAxis(
  values: Float64Array,
  side: number,
  channels: number,
  weights: Float64Array,
  border: Border,
  axis: 0 | 1,
): Float64Array {
  const radius = (weights.length - 1) / 2;
  const stride = axis === 0 ? side * channels : channels;
  const across = axis === 0 ? channels : side * channels;
  const result = new Float64Array(values.length);
  const line = new Float64Array(side + 2 * radius);
  const source = Int32Array.from(line, (_, i) => inside(i - radius, side, border) * stride);
  for (let row = 0; row < side; row++) {
    for (let channel = 0; channel < channels; channel++) {
      const base = row * across + channel;
      for (let i = 0; i < line.length; i++) line[i] = values[base + (source[i] as number)] as number;
      for (let i = 0; i < side; i++) {
        // The centre first, then pairs from the outside in: scipy's order, which a cut-off fraction lets one see.
        let sum = (line[i + radius] as number) * (weights[radius] as number);
        for (let k = 0; k < radius; k++) {
          sum += ((line[i + k] as number) + (line[i + 2 * radius - k] as number)) * (weights[k] as number);
        }
        result[base + i * stride] = sum;
      }
    }
  }
  return result;
}

/** A kernel of odd extents, row-major; correlated, not flipped. */
export interface Kernel {
  readonly extent: number;
  readonly weights: ArrayLike<number>;
}

/** Correlates every channel with a kernel, whose zeros cost nothing; the border is `reflect101`, as in cv2.filter2D. */
export function correlate(
  values: Float64Array,
  side: number,
  channels: number,
  { extent, weights }: Kernel,
): Float64Array {
  const reach = (extent - 1) / 2;
  const result = new Float64Array(values.length);
  const rowSize = side * channels;
  for (let k = 0; k < extent * extent; k++) {
    const weight = weights[k] as number;
    if (weight === 0) continue;
    const [down, right] = [Math.trunc(k / extent) - reach, (k % extent) - reach];
    const columns = Int32Array.from({ length: side }, (_, x) => inside(x + right, side, 'reflect101') * channels);
    for (let y = 0; y < side; y++) {
      const from = inside(y + down, side, 'reflect101') * rowSize;
      for (let x = 0; x < side; x++) {
        const [source, target] = [from + (columns[x] as number), y * rowSize + x * channels];
        for (let c = 0; c < channels; c++) {
          result[target + c] = (result[target + c] as number) + weight * (values[source + c] as number);
        }
      }
    }
  }
  return result;
}

/** Writes the RGB value at a place between pixels (bilinear) to `target[at]` and the two after it. */
export function sampleRgb(
  values: Float32Array,
  side: number,
  x: number,
  y: number,
  border: Border,
  target: Float32Array,
  at: number,
): void {
  const [left, top] = [Math.floor(x), Math.floor(y)];
  const [rightShare, lowerShare] = [x - left, y - top];
  const [x0, x1] = [3 * inside(left, side, border), 3 * inside(left + 1, side, border)];
  const [y0, y1] = [3 * side * inside(top, side, border), 3 * side * inside(top + 1, side, border)];
  for (let c = 0; c < 3; c++) {
    const upper = (1 - rightShare) * (values[y0 + x0 + c] as number) + rightShare * (values[y0 + x1 + c] as number);
    const lower = (1 - rightShare) * (values[y1 + x0 + c] as number) + rightShare * (values[y1 + x1 + c] as number);
    target[at + c] = (1 - lowerShare) * upper + lowerShare * lower;
  }
}
