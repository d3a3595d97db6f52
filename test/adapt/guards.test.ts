/** Drift of norms, filters of frames and the comparison with the twin, on numbers that can be worked out by hand. */
import test from 'ava';
import { FrameFilter } from '../../runtime/adapt/guards/filters.ts';
import { doubts, isOfFewClasses, knowledgeOf } from '../../runtime/adapt/guards/knowledge.ts';
import { compareWithTwin } from '../../runtime/adapt/guards/twin.ts';
import { drifts, movedTowards, pooled } from '../../runtime/adapt/norm-drift.ts';
import { Random } from '../../runtime/train/random.ts';

const norms = [{ mean: 'm', variance: 'v' }];
const statistics = (mean: number[], variance: number[]) =>
  new Map([
    ['m', Float32Array.from(mean)],
    ['v', Float32Array.from(variance)],
  ]);

test('drift is zero between equals, the same both ways, and the divergence of its definition', (t) => {
  const [a, b] = [statistics([0, 1], [1, 2]), statistics([1, 1], [1, 6])];
  t.deepEqual(drifts(norms, a, a), [0]);
  t.deepEqual(drifts(norms, a, b), drifts(norms, b, a));
  const e = 1e-3;
  const first = ((1 + e + 1) / (1 + e) + (1 + e + 1) / (1 + e)) / 2 - 1;
  const second = ((2 + e) / (6 + e) + (6 + e) / (2 + e)) / 2 - 1;
  t.true(Math.abs((drifts(norms, a, b)[0] ?? Number.NaN) - (first + second) / 2) <= 1e-9);
});

test('pooled passes have the moments of all their values', (t) => {
  const random = new Random(5, 1);
  const values = Array.from({ length: 4 }, () => Array.from({ length: 32 }, () => random.uniform(-2, 3)));
  const moments = (x: number[]) => {
    const mean = x.reduce((sum, value) => sum + value, 0) / x.length;
    return [mean, x.reduce((sum, value) => sum + (value - mean) ** 2, 0) / x.length] as const;
  };
  const passes = values.map((pass) => statistics([moments(pass)[0]], [moments(pass)[1]]));
  const [mean, variance] = moments(values.flat());
  const { found } = pooled(norms, passes);
  t.true(Math.abs((found.get('m')?.[0] ?? Number.NaN) - mean) <= 1e-6);
  t.true(Math.abs((found.get('v')?.[0] ?? Number.NaN) - variance) <= 1e-6);
});

test('frames of the same world have no drift in the mean once sampling is taken off; those of another keep theirs', (t) => {
  const seed = 20261121;
  const random = new Random(seed);
  const truth = statistics([0.5], [2]);
  const look = (shift: number) => {
    const passes = Array.from({ length: 10 }, () => {
      const values = Array.from({ length: 12 }, () => random.normal(0.5 + shift, Math.SQRT2));
      const m = values.reduce((sum, value) => sum + value / 12, 0);
      return statistics([m], [values.reduce((sum, value) => sum + (value - m) ** 2 / 12, 0)]);
    });
    const { found, errors } = pooled(norms, passes);
    return [drifts(norms, found, truth), drifts(norms, found, truth, errors)].map(([d]) => d ?? Number.NaN);
  };
  const mean = (shift: number): readonly [number, number] => {
    const looks = Array.from({ length: 2000 }, () => look(shift));
    const of = (which: number): number => looks.reduce((sum, pair) => sum + (pair[which] ?? Number.NaN) / 2000, 0);
    return [of(0), of(1)];
  };
  const [raw, corrected] = mean(0);
  const [, away] = mean(0.5);
  t.log(
    `seed ${seed}: ${raw.toFixed(4)} of the sample, ${corrected.toFixed(4)} corrected, ${away.toFixed(4)} elsewhere`,
  );
  t.true(raw > 0.01);
  t.true(Math.abs(corrected) < 0.1 * raw);
  // (0.5)^2 / 2
  t.true(Math.abs(away - 0.125) < 0.02);
});

test('statistics move the given share of the way', (t) => {
  const moved = movedTowards(statistics([0, 4], [1, 1]), statistics([2, 0], [1, 3]), 0.25);
  t.deepEqual([...(moved.get('m') ?? [])], [0.5, 3]);
  t.deepEqual([...(moved.get('v') ?? [])], [1, 1.5]);
});

test('certain frames weigh the more the more certain they are, uncertain and redundant ones nothing', (t) => {
  const filter = new FrameFilter(2, 0.5, 0.95);
  const p = Float32Array.of(1, 0, 0.5, 0.5, 0.97, 0.03);
  const h = Float32Array.of(0, Math.LN2, 0.135);
  const weights = filter.weigh(p, h);
  t.true(Math.abs((weights[0] ?? 0) - Math.exp(0.5 * Math.LN2)) <= 1e-6);
  t.is(weights[1], 0);
  t.true((weights[2] ?? 0) > 0 && (weights[2] ?? 0) < (weights[0] ?? 0));
  filter.learnt(p.subarray(0, 2), Float64Array.of(1));
  const later = filter.weigh(Float32Array.of(0.99, 0.01, 0.01, 0.99), Float32Array.of(0.056, 0.056));
  t.is(later[0], 0, 'like what was learnt');
  t.true((later[1] ?? 0) > 0, 'another class');
  const other = new FrameFilter(2, 0.5, 0.95);
  other.load(filter.save());
  t.deepEqual(other.weigh(p, h), filter.weigh(p, h));
});

test('a model knows what it tells apart: nothing when collapsed or blind, ln C at best', (t) => {
  const rows = (make: (n: number, c: number) => number) =>
    Float32Array.from({ length: 40 }, (_, i) => make(Math.floor(i / 4), i % 4));
  const sharp = knowledgeOf(
    rows((n, c) => Number(n % 4 === c)),
    4,
  );
  const collapsed = knowledgeOf(
    rows((_, c) => Number(c === 0)),
    4,
  );
  const blind = knowledgeOf(
    rows(() => 0.25),
    4,
  );
  t.true(Math.abs(sharp.information - sharp.variety) <= 1e-6 && sharp.variety > 1.3);
  t.true(Math.abs(collapsed.information) <= 1e-6 && Math.abs(collapsed.variety) <= 1e-6);
  t.true(Math.abs(blind.information) <= 1e-6 && Math.abs(blind.variety - Math.log(4)) <= 1e-6);
  t.is(compareWithTwin(collapsed, sharp), 'collapsed');
  t.is(compareWithTwin(blind, sharp), 'worse');
  t.is(compareWithTwin(sharp, blind), 'fine');
  t.is(compareWithTwin(sharp, sharp), 'fine');
  t.deepEqual(
    [sharp, collapsed, blind].map((known) => isOfFewClasses(known, 4)),
    [false, true, false],
  );
  t.true(doubts(collapsed, blind), 'certain of one class before, of none after');
  t.false(doubts(blind, sharp) || doubts(collapsed, sharp) || doubts(collapsed, collapsed));
});
