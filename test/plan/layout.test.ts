import test from 'ava';
import * as fc from 'fast-check';
import { ALIGNMENT, align, layOut } from '../../runtime/plan/layout.ts';

const interval = fc
  .tuple(fc.integer({ min: 0, max: 5000 }), fc.nat(20), fc.nat(10))
  .map(([bytes, from, length]) => ({ bytes, from, to: from + length }));

test('random intervals: aligned, above the base, never two in one place at one time, peak exact', (t) => {
  fc.assert(
    fc.property(fc.array(interval, { maxLength: 40 }), fc.nat(1000), (intervals, base) => {
      const { offsets, peakBytes } = layOut(intervals, base);
      const placed = intervals.map((each, i) => ({ ...each, offset: offsets[i] ?? Number.NaN }));
      for (const { offset } of placed) if (!(offset >= base && offset % ALIGNMENT === 0)) return false;
      const overlap = placed.some((a, i) =>
        placed.some(
          (b, j) =>
            j < i && a.from <= b.to && b.from <= a.to && a.offset < b.offset + b.bytes && b.offset < a.offset + a.bytes,
        ),
      );
      const end = Math.max(base, ...placed.map(({ offset, bytes }) => (bytes > 0 ? offset + bytes : 0)));
      return !overlap && peakBytes === end;
    }),
    { numRuns: 300 },
  );
  t.pass();
});

test('the peak is at least the bytes alive at any time, and at most all of them side by side', (t) => {
  fc.assert(
    fc.property(fc.array(interval, { maxLength: 40 }), (intervals) => {
      const { peakBytes } = layOut(intervals, 0);
      for (let time = 0; time <= 30; time++) {
        const live = intervals.filter(({ from, to }) => from <= time && time <= to);
        if (!(live.reduce((sum, { bytes }) => sum + bytes, 0) <= peakBytes)) return false;
      }
      return peakBytes <= intervals.reduce((sum, { bytes }) => sum + align(bytes), 0);
    }),
    { numRuns: 300 },
  );
  t.pass();
});

test('memory of the dead is taken again', (t) => {
  const intervals = [
    { bytes: 640, from: 0, to: 1 },
    { bytes: 640, from: 2, to: 3 },
    { bytes: 64, from: 0, to: 3 },
  ];
  t.deepEqual(layOut(intervals, 128), { offsets: [128, 128, 768], peakBytes: 832 });
  t.deepEqual(layOut([], 100), { offsets: [], peakBytes: 100 });
});
