/** Thinning keeps what a chart is looked at for: its peaks. */
import test from 'ava';
import fc from 'fast-check';
import { type Row, thinned } from '../../../tools/profiler/report/thin.ts';

const LINES = 3;
const value = fc.option(fc.double({ noNaN: true, min: 0, max: 1e9 }), { freq: 3, nil: null });
const series = fc
  .array(fc.array(value, { minLength: LINES, maxLength: LINES }), { minLength: 1, maxLength: 400 })
  .map((values): readonly Row[] => values.map((line, at) => ({ at, values: line })));

function highest(rows: readonly Row[], line: number): number {
  return Math.max(...rows.map(({ values }) => values[line] ?? Number.NEGATIVE_INFINITY));
}

test('rows are some of those given, in their order, with the first, the last and every peak', (t) => {
  fc.assert(
    fc.property(series, fc.integer({ min: 10, max: 100 }), (rows, most) => {
      const kept = thinned(rows, most);
      t.true(kept.length <= most + 2, `${kept.length} of ${rows.length} rows, at most ${most}`);
      t.true(kept.every((row, at) => rows.includes(row) && row.at > (kept[at - 1]?.at ?? -1)));
      t.is(kept[0], rows[0]);
      t.is(kept.at(-1), rows.at(-1));
      for (let line = 0; line < LINES; line++) t.is(highest(kept, line), highest(rows, line));
    }),
    { seed: 1, numRuns: 200 },
  );
});

test('a series that is short enough stays as it is', (t) => {
  const rows = [{ at: 0, values: [1, null] }];
  t.is(thinned(rows, 1), rows);
  t.deepEqual(thinned([]), []);
});

test('the peak of each stretch stays, not only that of all', (t) => {
  const rows = Array.from({ length: 5000 }, (_, at) => ({ at, values: [at % 500 === 250 ? 90 + at / 1000 : 10] }));
  const kept = thinned(rows);
  t.deepEqual(
    kept.filter(({ values }) => (values[0] ?? 0) > 10).map(({ at }) => at),
    [250, 750, 1250, 1750, 2250, 2750, 3250, 3750, 4250, 4750],
  );
});
