/** @file Frames in passes of about equal size: statistics and gradients of a lone last frame would count as much as a whole pass. */

export interface FramePass {
  /** u8 RGB, channels-last. */
  readonly images: Uint8Array;
  readonly count: number;
  /** Number of the first frame. */
  readonly from: number;
}

/** @param most frames of a pass at most, from 1 */
export function inPasses(images: Uint8Array, count: number, most: number): readonly FramePass[] {
  const frameBytes = images.length / count;
  const passes = Math.ceil(count / most);
  const start = (pass: number): number => Math.round((pass * count) / passes);
  return Array.from({ length: passes }, (_, pass) => {
    const [from, to] = [start(pass), start(pass + 1)];
    return { images: images.subarray(from * frameBytes, to * frameBytes), count: to - from, from };
  });
}
