/**
 * @file Arena offsets: pinned buffers first, then everything that lives for a while, largest first, each at the lowest
 * offset where nothing alive at the same time lies.
 */

/** Every offset is a multiple of this: a cache line, and what vector loads like best. */
export const ALIGNMENT = 64;

export const align = (bytes: number): number => Math.ceil(bytes / ALIGNMENT) * ALIGNMENT;

export interface Interval {
  readonly bytes: number;
  readonly from: number;
  readonly to: number;
}

export interface Layout {
  /** One offset an interval, in the order given. */
  readonly offsets: readonly number[];
  /** First byte above everything: the exact peak. */
  readonly peakBytes: number;
}

/**
 * Places intervals above `base` (greedy by size; Pisarchyk and Lee 2020, arXiv 2001.03288, section 5).
 * No two that are alive at a common time overlap.
 */
export function layOut(intervals: readonly Interval[], base: number): Layout {
  const order = intervals
    .map((interval, index) => ({ ...interval, index }))
    .filter(({ bytes }) => bytes > 0)
    .sort((a, b) => b.bytes - a.bytes || a.from - b.from || a.index - b.index);
  const offsets = new Array<number>(intervals.length).fill(align(base));
  const placed: { offset: number; end: number; from: number; to: number }[] = [];
  let peakBytes = base;
  for (const { bytes, from, to, index } of order) {
    let offset = align(base);
    for (const other of placed) {
      if (other.to < from || other.from > to) continue;
      if (other.offset >= offset + bytes) break;
      offset = Math.max(offset, align(other.end));
    }
    offsets[index] = offset;
    const at = placed.findIndex((other) => other.offset > offset);
    placed.splice(at < 0 ? placed.length : at, 0, { offset, end: offset + bytes, from, to });
    peakBytes = Math.max(peakBytes, offset + bytes);
  }
  return { offsets, peakBytes };
}
