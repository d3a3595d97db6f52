/** What the charts and tables of a report say, before anything is drawn. */
import test, { type ExecutionContext } from 'ava';
import type { ProfileRecord } from '../../../tools/profiler/record.ts';
import { arenaWaterfall } from '../../../tools/profiler/report/arena.ts';
import { blocksFigure } from '../../../tools/profiler/report/blocks.ts';
import { boardFigures } from '../../../tools/profiler/report/board.ts';
import type { BarChart, LineChart } from '../../../tools/profiler/report/chart-data.ts';
import { comparedFigures } from '../../../tools/profiler/report/comparison.ts';
import { commandText, facts } from '../../../tools/profiler/report/facts.ts';
import type { Figure } from '../../../tools/profiler/report/figure.ts';
import { headline } from '../../../tools/profiler/report/headline.ts';
import { mainFigures } from '../../../tools/profiler/report/main-figures.ts';
import { memoryFigure } from '../../../tools/profiler/report/memory.ts';
import { categoryPairs, opPairs } from '../../../tools/profiler/report/pair-figures.ts';
import { plannedMeasured, plannedMeasuredTable } from '../../../tools/profiler/report/planned-measured.ts';
import { rooflineFigure } from '../../../tools/profiler/report/roofline.ts';
import { millisOf, timeGroups, timesFigure } from '../../../tools/profiler/report/time-bars.ts';
import { processWaterfall } from '../../../tools/profiler/report/waterfall.ts';
import { adaptRun, emptyRun, finishedRun, outOfMemory } from './example-records.ts';

const SEED = 11;
const MIB = 2 ** 20;
const [finished, killed, adapted, empty] = [finishedRun(SEED), outOfMemory(SEED), adaptRun(SEED), emptyRun()];

/** A figure that must be there, with a chart of bars. */
function bars(t: ExecutionContext, figure: Figure | null): BarChart {
  t.is(figure?.chart.kind, 'bars');
  return figure?.chart as BarChart;
}

function lines(t: ExecutionContext, figure: Figure | null | undefined): LineChart {
  t.is(figure?.chart.kind, 'lines');
  return figure?.chart as LineChart;
}

const labels = ({ lines: drawn }: LineChart): readonly string[] => drawn.map(({ label }) => label);

test('memory: lines for what was measured, cap and plan, and what happened', (t) => {
  const chart = lines(t, memoryFigure(finished, 'memory', 'Memory'));
  t.deepEqual(labels(chart), ['Control group', 'Resident (RSS)', 'Proportional (PSS)', 'JavaScript heap']);
  t.deepEqual(
    chart.rules.map(({ label }) => label),
    ['Cap', 'Planned peak'],
  );
  t.is(chart.rules[0]?.value, 160);
  const rss = chart.lines[1]?.values.map((value) => value ?? 0) ?? [];
  t.is(Math.max(...rss), Math.round((100 * finished.peak.rssBytes) / MIB) / 100, 'thinned, but not the peak');
  t.is(chart.lines[0]?.values.length, chart.at.length);
  const moments = chart.moments.map(({ label }) => label);
  t.deepEqual(moments.slice(0, 3), ['planned', 'opened', 'step 1']);
  t.is(moments.filter((label) => label.startsWith('step')).length, 1);
  t.true(moments.filter((label) => label.startsWith('epoch')).length <= 12);
});

test('memory: without cap and group there are fewer lines, without samples no chart', (t) => {
  const chart = lines(t, memoryFigure(adapted, 'memory', 'Memory'));
  t.deepEqual(labels(chart), ['Resident (RSS)', 'JavaScript heap']);
  t.deepEqual(
    chart.rules.map(({ label }) => label),
    ['Planned peak'],
  );
  t.is(memoryFigure(empty, 'memory', 'Memory'), null);
});

test('memory: a cap far above everything is told in words and does not press the lines down', (t) => {
  const far = { ...finished, limit: { ...finished.limit, memoryBytes: 4096 * MIB } };
  const figure = memoryFigure(far, 'memory', 'Memory');
  t.deepEqual(
    lines(t, figure).rules.map(({ label }) => label),
    ['Planned peak'],
  );
  t.regex(figure?.note ?? '', /Cap \(4096\.0 MiB\)/);
});

test('machine: a chart for each quantity that was measured', (t) => {
  t.deepEqual(
    boardFigures(finished).map(({ id }) => id),
    ['pressure', 'power', 'temperature', 'clock'],
  );
  t.deepEqual(boardFigures(adapted), []);
  const calm = { ...finished, samples: finished.samples.map((sample) => ({ ...sample, pressure: 0 })) };
  t.false(
    boardFigures(calm).some(({ id }) => id === 'pressure'),
    'nothing to see',
  );
  const pressure = (record: ProfileRecord) =>
    mainFigures(record).flatMap(({ key, value, text }) => (key === 'peakPressureShare' ? text(value) : []));
  t.deepEqual([pressure(calm), pressure(adapted)], [['0.0 %'], ['–']]);
});

test('waterfall: each bar begins where the one above ends, and the last is the planned peak', (t) => {
  const { bars: drawn, labels: names } = bars(t, processWaterfall(finished));
  const values = drawn[0]?.values as readonly (readonly [number, number])[];
  for (const [at, [start]] of values.slice(0, -1).entries()) t.is(start, values[at - 1]?.[1] ?? 0, names[at]);
  const total = Math.round((100 * (finished.planned?.totalBytes ?? 0)) / MIB) / 100;
  t.deepEqual(values.at(-1), [0, total]);
  t.is(values.at(-2)?.[1], total);
  t.false(names.includes('Adaptation'), 'categories of 0 bytes are left out');
  t.is(processWaterfall(empty), null);
});

test("arena: every buffer's bytes are in a bar once, gaps included", (t) => {
  const { planned } = finished;
  const figure = arenaWaterfall(planned);
  const { bars: drawn, labels: names } = bars(t, figure);
  const values = drawn[0]?.values as readonly (readonly [number, number])[];
  t.is(values.at(-1)?.[1], Math.round((100 * (planned?.arenaBytes ?? 0)) / MIB) / 100);
  t.is(values.at(-2)?.[1], values.at(-1)?.[1]);
  t.true(names.includes('Gaps and others'));
  t.is(names.filter((name) => planned?.atPeak.some((buffer) => buffer.name === name)).length, 16);
  t.is(arenaWaterfall(null), null);
  t.is(figure?.table.rows.length, planned?.atPeak.length);
});

test('blocks: those that store something, in the order of the network', (t) => {
  const { labels: names, bars: drawn } = bars(t, blocksFigure(finished.planned));
  t.deepEqual(names, ['features.13', 'features.14', 'features.15', 'features.16', 'features.17']);
  t.true(drawn[0]?.values.every((value) => Number(value) > 0));
  t.is(blocksFigure(null), null);
});

test('blocks: of very many the largest have bars, and the rest one', (t) => {
  const many = Array.from({ length: 100 }, (_, at) => ({ name: `${at}`, storedBytes: MIB * (at + 1) }));
  const planned = finished.planned && { ...finished.planned, blocks: many };
  const { labels: names, bars: drawn } = bars(t, blocksFigure(planned));
  t.is(names.length, 33);
  t.deepEqual([names[0], names.at(-1)], ['68', '68 others']);
  t.is(drawn[0]?.values.at(-1), (68 * 69) / 2);
});

test('time: groups add up to the whole step, longest first', (t) => {
  for (const key of ['op', 'block'] as const) {
    const groups = timeGroups(finished.steps, key, 3);
    t.is(groups.length, 3);
    const sum = groups.reduce((total, { millis }) => total + millis, 0);
    t.true(Math.abs(sum - millisOf(finished.steps)) <= 1e-9 * sum);
    t.true((groups[0]?.millis ?? 0) >= (groups[1]?.millis ?? 0));
    t.regex(groups.at(-1)?.name ?? '', /^\d+ others$/);
  }
  const chart = bars(t, timesFigure(finished.steps, 'op'));
  t.deepEqual(
    chart.bars.map(({ label }) => label),
    ['Prefix', 'Forward', 'Backward', 'Optimizer'],
  );
  t.is(timesFigure([], 'op'), null);
});

test('roofline: intensity and rate of a step; the roof only where the rates are known', (t) => {
  const step = { pass: 'forward', op: 'MatMul', node: 'a', block: '', millis: 2, bytes: 1e6, flops: 4e7 } as const;
  const rates = { flopsPerSecond: 100e9, bytesPerSecond: 10e9, basis: 'calibrated on the device' };
  const figure = rooflineFigure([step, { ...step, flops: 0 }, { ...step, bytes: 0 }], rates);
  const chart = figure?.chart;
  if (chart?.kind !== 'cloud') return t.fail('expected points');
  t.deepEqual(chart.groups, [
    { label: 'Forward', colour: 0, shape: 'circle', points: [{ x: 40, y: 20, name: 'MatMul a, 2 ms' }] },
  ]);
  t.deepEqual(chart.roof, [
    [2.5, 25],
    [10, 100],
    [40, 100],
  ]);
  const bare = rooflineFigure([step], null);
  t.deepEqual(bare?.chart.kind === 'cloud' && bare.chart.roof, []);
  t.regex(bare?.note ?? '', /No roof is drawn/);
  t.is(rooflineFigure([{ ...step, flops: 0 }], rates), null);
});

test('planned and measured: the difference in percent, and nothing invented where one side is unknown', (t) => {
  const rows = new Map(plannedMeasuredTable(finished).rows.map(([name = '', ...cells]) => [name, cells]));
  t.deepEqual(rows.get('Arena')?.[2], '0 %');
  t.regex(rows.get('Whole process (RSS)')?.[2] ?? '', /^\+\d\.\d %$/);
  t.is(rows.get('Workspace')?.[1], '–');
  t.is(rows.get('JavaScript heap')?.[0], '–');
  const [compared, parts, sample] = plannedMeasured(finished);
  const [whole, arena, rest] = compared?.rows ?? [];
  t.is(rest?.measured, (whole?.measured ?? 0) - (arena?.measured ?? 0));
  t.is(
    parts?.rows.reduce((sum, { planned }) => sum + (planned ?? 0), 0),
    finished.planned?.totalBytes,
  );
  t.regex(sample?.title ?? '', /^Parts of the highest sample, at 31 s$/);
  t.deepEqual(plannedMeasured(empty), []);
});

test('headline: fits, out of memory, no cap, failed, interrupted, above the cap', (t) => {
  t.deepEqual([headline(finished).tone, headline(finished).title], ['good', 'Fits in 160.0 MiB']);
  t.regex(headline(finished).sentences[0] ?? '', /The plan says .* measured peak is .* above the plan\./);
  t.deepEqual([headline(killed).tone, headline(killed).title], ['bad', 'Out of memory at 112.0 MiB']);
  t.regex(headline(killed).sentences[0] ?? '', /signal SIGKILL, 1 process killed for memory/);
  t.is(headline(adapted).title, 'Finished without a memory cap');
  t.is(headline(empty).title, 'Failed before it had a plan');
  t.regex(headline(empty).sentences.join(' '), /exit code 1\. Nothing was planned; no peak was measured\./);
  const stopped = { ...finished, outcome: { ...finished.outcome, status: 'interrupted' } as const };
  t.is(headline(stopped).title, 'Interrupted');
  const over = { ...finished, peak: { ...finished.peak, cgroupBytes: 161 * MIB } };
  t.is(headline(over).title, 'Finished, but above its cap of 160.0 MiB');
});

test('facts: the kinds of limits that were refused, unknown values as dashes, the command as it was typed', (t) => {
  const [, limit] = facts(adapted);
  t.deepEqual(limit?.entries.at(-1), [
    'Could not be had',
    'cgroup v2: not writable; cgroup v1: not mounted; systemd-run: no session bus',
  ]);
  const [run] = facts(adapted);
  t.deepEqual(
    run?.entries.find(([name]) => name === 'Budget of the plan'),
    ['Budget of the plan', 'not limited'],
  );
  t.deepEqual(facts(finished)[0]?.entries.at(-1), ['Profiler itself', '1.1 % of a core, 3.2 MiB']);
  t.is(commandText(adapted), 'edgeshift adapt "model with spaces.onnx" --source http --method ecotta');
});

test('comparison: figures that one run has, and bars of both', (t) => {
  const keys = comparedFigures(finished, empty).map(({ key }) => key);
  t.true(keys.includes('plannedPeakBytes') && keys.includes('stepJoules'));
  t.false(comparedFigures(adapted, empty).some(({ key }) => key === 'stepJoules'));
  const chart = bars(t, categoryPairs(finished, adapted));
  t.deepEqual(
    chart.bars.map(({ label }) => label),
    ['A', 'B'],
  );
  t.is(chart.bars[0]?.values.length, chart.labels.length);
  t.is(opPairs(adapted, empty), null);
});
