/** @file The middle of an image enlarged to its size. */

/** Images stay in the precision they have. */
type Values = Float32Array | Float64Array;

/**
 * Cuts the middle ceil(side / factor) pixels, enlarges them (bilinear, corners on corners, as scipy.ndimage.zoom of order 1) and
 * trims what is more than `side`. Rows and columns differ from scipy's by rounding only.
 *
 * @param factor At least 1.
 */
export function clippedZoom<T extends Values>(values: T, side: number, channels: number, factor: number): T {
  const cut = Math.ceil(side / factor);
  const start = (side - cut) >> 1;
  const enlarged = Math.round(cut * factor);
  const trim = (enlarged - side) >> 1;
  const step = enlarged > 1 ? (cut - 1) / (enlarged - 1) : 0;
  const lower = new Int32Array(side);
  const share = new Float64Array(side);
  for (let i = 0; i < side; i++) {
    const place = (i + trim) * step;
    lower[i] = Math.min(Math.floor(place), Math.max(0, cut - 2));
    share[i] = place - (lower[i] as number);
  }
  const result = values.slice() as T;
  const next = cut > 1 ? 1 : 0;
  for (let y = 0; y < side; y++) {
    const [top, down] = [start + (lower[y] as number), share[y] as number];
    for (let x = 0; x < side; x++) {
      const [left, right] = [start + (lower[x] as number), share[x] as number];
      const [from, below] = [channels * (top * side + left), channels * ((top + next) * side + left)];
      for (let c = 0; c < channels; c++) {
        const upperValue = mix(values[from + c], values[from + next * channels + c], right);
        const lowerValue = mix(values[below + c], values[below + next * channels + c], right);
        result[channels * (y * side + x) + c] = mix(upperValue, lowerValue, down);
      }
    }
  }
  return result;
}

function mix(one = 0, other = 0, share = 0): number {
  return (1 - share) * one + share * other;
}
