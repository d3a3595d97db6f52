/** @file Motion blur as ImageMagick defines it. */

/**
 * Blurs bytes along a line: a one-sided Gaussian tail of 2 radius + 1 samples, each one pixel further on, the outermost pixels
 * repeated beyond the edge; rounded to bytes.
 *
 * The rule is that of MotionBlurImage in ImageMagick's effect.c: sample i has the weight exp(-i^2 / (2 sigma^2)) and lies at
 * ceil(i cos - 0.5) to the right and ceil(i sin - 0.5) below. Not compared bit by bit with ImageMagick.
 *
 * @param angle In degrees, clockwise from the right.
 */
export function motionBlur(
  bytes: Uint8Array,
  side: number,
  channels: number,
  radius: number,
  sigma: number,
  angle: number,
): Uint8Array {
  const weights = Float64Array.from({ length: 2 * radius + 1 }, (_, i) => Math.exp((-i * i) / (2 * sigma * sigma)));
  const total = weights.reduce((sum, weight) => sum + weight, 0);
  const [cosine, sine] = [Math.cos((angle * Math.PI) / 180), Math.sin((angle * Math.PI) / 180)];
  const sums = new Float64Array(bytes.length);
  const columns = new Int32Array(side);
  weights.forEach((weight, i) => {
    const [right, down] = [Math.ceil(i * cosine - 0.5), Math.ceil(i * sine - 0.5)];
    for (let x = 0; x < side; x++) columns[x] = channels * clamp(x + right, side);
    for (let y = 0; y < side; y++) {
      const [from, to] = [channels * side * clamp(y + down, side), channels * side * y];
      for (let x = 0; x < side; x++) {
        const [source, target] = [from + (columns[x] as number), to + channels * x];
        for (let c = 0; c < channels; c++) {
          sums[target + c] = (sums[target + c] as number) + weight * (bytes[source + c] as number);
        }
      }
    }
  });
  return bytes.map((_, i) => Math.floor((sums[i] as number) / total + 0.5));
}

function clamp(position: number, length: number): number {
  return Math.min(Math.max(position, 0), length - 1);
}
