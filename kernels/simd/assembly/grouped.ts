/**
 * @file Grouped convolution and its input gradient, without patches: both are one walk, in which the channels of a group
 * are summed over on the source's side and are lanes on the target's.
 *
 * x `[N, H, W, I]`, w `[O, KH, KW, I / groups]`, y `[N, OH, OW, O]`. The input gradient reads w as it is, with the input
 * channels innermost; forward needs the output channels innermost and gets a copy of w in the workspace.
 */
import { PIXELS, pixelsOfGroup, setSource, setTaps, setTarget } from './grouped-pixels';

/** Bytes of weights that stay in the first-level cache beside the pixels. */
const WEIGHT_BYTES: i32 = 20480;

/**
 * The walk over images, groups and target pixels. Every `phases`-th target column from a first one makes a run, in which
 * all pixels have the same taps; scales and pads say where a target pixel's first tap is.
 */
function walk(
  source: usize, sourceImage: usize, sourceGroup: usize, weight: usize, weightGroup: usize, target: usize,
  targetPixel: usize, targetGroup: usize, batch: i32, groups: i32, targetHeight: i32, targetWidth: i32, phases: i32,
  scaleH: i32, scaleW: i32, padTop: i32, padLeft: i32,
): void {
  const targetRow: usize = <usize>targetWidth * targetPixel;
  // Groups take turns at each four pixels, as many as keep their weights in the first-level cache: a narrow group alone
  // would use a few bytes of each cache line, and pixels a power of two apart would fight for the same lines.
  const together = max(1, WEIGHT_BYTES / <i32>weightGroup);
  setTarget(<usize>phases * targetPixel, targetGroup);
  for (let n = 0; n < batch; n++) {
    for (let first = 0; first < groups; first += together) {
      const end: usize = min(groups, first + together);
      for (let th = 0; th < targetHeight; th++) {
        const firstRow = th * scaleH + padTop;
        for (let phase = 0; phase < phases; phase++) {
          for (let tw = phase; tw < targetWidth; tw += PIXELS * phases) {
            const count = min(PIXELS, (targetWidth - tw + phases - 1) / phases);
            const firstColumn = tw * scaleW + padLeft;
            const to = target + <usize>th * targetRow + <usize>tw * targetPixel;
            for (let group: usize = first; group < end; group++) {
              const from = source + group * sourceGroup;
              pixelsOfGroup(from, weight + group * weightGroup, to + group * targetGroup, firstRow, firstColumn, count);
            }
          }
        }
      }
    }
    source += sourceImage;
    target += <usize>targetHeight * targetRow;
  }
}

/** Per group, to `[taps, inputs, outputs]` = from `[outputs, taps, inputs]`. */
function outputsInnermost(from: usize, to: usize, groups: i32, outputs: i32, taps: i32, inputs: i32): void {
  const step: usize = <usize>(taps * inputs) << 2;
  for (let group = 0; group < groups; group++) {
    for (let i: usize = 0; i < step; i += 4) {
      let source = from + i;
      for (let o = 0; o < outputs; o++) {
        store<u32>(to, load<u32>(source));
        source += step;
        to += 4;
      }
    }
    from += <usize>outputs * step;
  }
}

/** y = x convolved with w in groups; y is overwritten. workspace: floats as many as w has, and I / groups more. */
export function groupedForward(
  x: usize, w: usize, y: usize, batch: i32, height: i32, width: i32, channels: i32, kernelHeight: i32,
  kernelWidth: i32, strideH: i32, strideW: i32, dilationH: i32, dilationW: i32, padTop: i32, padLeft: i32,
  outHeight: i32, outWidth: i32, outChannels: i32, groups: i32, workspace: usize,
): void {
  const taps = kernelHeight * kernelWidth;
  const inputs = channels / groups;
  const outputs = outChannels / groups;
  const inBytes: usize = <usize>inputs << 2;
  const outBytes: usize = <usize>outputs << 2;
  const tap: usize = <usize>inputs * outBytes;
  const group: usize = <usize>taps * tap;
  outputsInnermost(w, workspace, groups, outputs, taps, inputs);
  setSource(height, width, <usize>groups * inBytes, inBytes, workspace + <usize>groups * group);
  setTaps(kernelHeight, kernelWidth, dilationH, dilationW, 1, 1, strideW, outBytes, tap);
  walk(
    x, <usize>(height * width * channels) << 2, inBytes, workspace, group, y, <usize>groups * outBytes, outBytes, batch,
    groups, outHeight, outWidth, 1, strideH, strideW, -padTop, -padLeft,
  );
}

/** dx = gradient of {@link groupedForward} for its input; dx is overwritten. workspace: O / groups floats. */
export function groupedInputGradient(
  dy: usize, w: usize, dx: usize, batch: i32, height: i32, width: i32, channels: i32, kernelHeight: i32,
  kernelWidth: i32, strideH: i32, strideW: i32, dilationH: i32, dilationW: i32, padTop: i32, padLeft: i32,
  outHeight: i32, outWidth: i32, outChannels: i32, groups: i32, workspace: usize,
): void {
  const inBytes: usize = <usize>(channels / groups) << 2;
  const outBytes: usize = <usize>(outChannels / groups) << 2;
  const output: usize = <usize>(kernelHeight * kernelWidth) * inBytes;
  setSource(outHeight, outWidth, <usize>groups * outBytes, outBytes, workspace);
  setTaps(kernelHeight, kernelWidth, -dilationH, -dilationW, strideH, strideW, 1, output, inBytes);
  walk(
    dy, <usize>(outHeight * outWidth * outChannels) << 2, outBytes, w, (outBytes >> 2) * output, dx,
    <usize>groups * inBytes, inBytes, batch, groups, height, width, strideW, 1, 1, padTop, padLeft,
  );
}
