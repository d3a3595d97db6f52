/** @file Frames in passes of about equal size: statistics and gradients of a lone last frame would count as much as a whole pass. */
import { evenParts } from '../engine/parts.ts';

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
  return Array.from(evenParts(count, most), ([from, n]) => ({
    images: images.subarray(from * frameBytes, (from + n) * frameBytes),
    count: n,
    from,
  }));
}
