/** /metrics: read by a strict parser of the text format, with the conventions of names and units. */
import test from 'ava';
import { metricsText } from '../../tools/dashboard/metrics.ts';
import { DashboardState } from '../../tools/dashboard/state.ts';
import { nothingYet, type Run, type Status } from '../../tools/dashboard/tick.ts';
import { type Metric, parseExposition } from './exposition.ts';
import { adaptRun, adaptStatus, trainRun, trainStatus } from './ticks.ts';

const MIB = 2 ** 20;

function metrics(run: Run, status: Status, rssBytes = 100 * MIB): ReadonlyMap<string, Metric> {
  const state = DashboardState.begin(run, nothingYet);
  state.take({ point: { at: 500, rssBytes }, status, log: [], frames: [], ended: null });
  return parseExposition(metricsText(state, { pages: 2, skippedTicks: 7 }));
}

const values = ({ samples }: Metric) =>
  samples.map(({ name, labels, value }) => [name, ...Object.values(labels), value] as const);

test('of an adaptation', (t) => {
  const found = metrics(adaptRun, adaptStatus);
  const valuesOf = (name: string) => values(found.get(name) as Metric).map((sample) => sample.slice(1));
  t.deepEqual(valuesOf('edgeshift_run_info'), [['adapt', 1]]);
  t.deepEqual(valuesOf('edgeshift_run_start_time_seconds'), [[1.7e9]]);
  t.deepEqual(valuesOf('edgeshift_memory_resident_bytes'), [[100 * MIB]]);
  t.deepEqual(valuesOf('edgeshift_memory_cap_bytes'), [[256 * MIB]]);
  t.deepEqual(valuesOf('edgeshift_memory_planned_bytes'), [[180 * MIB]]);
  t.deepEqual(valuesOf('edgeshift_frames_predicted_total'), [[640]]);
  t.deepEqual(valuesOf('edgeshift_updates_total'), [[4]]);
  t.deepEqual(valuesOf('edgeshift_resets_total'), [[1]]);
  t.deepEqual(valuesOf('edgeshift_frames_dropped_total'), [[3]]);
  t.deepEqual(valuesOf('edgeshift_frames_decided_total'), [
    ['no drift', 576],
    ['collapsed, back to deployed', 64],
  ]);
  t.deepEqual(values(found.get('edgeshift_prediction_latency_seconds') as Metric), [
    ['edgeshift_prediction_latency_seconds', '0.5', 0.02],
    ['edgeshift_prediction_latency_seconds', '0.99', 0.08],
    ['edgeshift_prediction_latency_seconds_sum', 0.25],
    ['edgeshift_prediction_latency_seconds_count', 10],
  ]);
  t.deepEqual(valuesOf('edgeshift_dashboard_pages'), [[2]]);
  t.deepEqual(valuesOf('edgeshift_dashboard_skipped_ticks_total'), [[7]]);
  t.false(found.has('edgeshift_training_steps_total'));
  t.false(found.has('edgeshift_memory_group_bytes'), 'what is not known is left out');
});

test('of a training', (t) => {
  const found = metrics(trainRun, trainStatus);
  const valuesOf = (name: string) => values(found.get(name) as Metric).map((sample) => sample.slice(1));
  t.deepEqual(valuesOf('edgeshift_training_steps_total'), [[8]]);
  t.deepEqual(valuesOf('edgeshift_training_step'), [[12]]);
  t.deepEqual(valuesOf('edgeshift_training_loss'), [[0.5]]);
  t.deepEqual(valuesOf('edgeshift_training_accuracy_ratio'), [
    ['before', 0.25],
    ['training', 0.5],
  ]);
  t.is(found.get('edgeshift_training_step_duration_seconds')?.type, 'summary');
  t.false(found.has('edgeshift_frames_predicted_total'));
});

test('names end in their units, and counters in _total', (t) => {
  for (const found of [metrics(adaptRun, adaptStatus), metrics(trainRun, trainStatus)]) {
    for (const [name, { type, help }] of found) {
      t.is(name.endsWith('_total'), type === 'counter', name);
      t.notRegex(name, /millis|mib|percent/i);
      t.regex(help, /^[A-Z0-9].*\.$/, name);
      if (name.includes('memory')) t.regex(name, /_bytes$/);
      if (/duration|latency|time/.test(name)) t.regex(name, /_seconds$/);
    }
  }
});

test('reasons with quotes, backslashes and line breaks come back as they were', (t) => {
  const nasty = 'failed: "C:\\n"\nedgeshift_run_active 7';
  const { adaptation } = adaptStatus;
  if (!adaptation) throw new Error('no adaptation');
  const status = { ...adaptStatus, adaptation: { ...adaptation, reasons: { [nasty]: 3, Ünïcode: 4 } } };
  t.deepEqual(values(metrics(adaptRun, status).get('edgeshift_frames_decided_total') as Metric), [
    ['edgeshift_frames_decided_total', nasty, 3],
    ['edgeshift_frames_decided_total', 'Ünïcode', 4],
  ]);
});

test('values that are no numbers are written as the format has them', (t) => {
  const { training } = trainStatus;
  if (!training) throw new Error('no training');
  const loss = (value: number): number | undefined =>
    metrics(trainRun, { ...trainStatus, training: { ...training, loss: value } }).get('edgeshift_training_loss')
      ?.samples[0]?.value;
  t.is(loss(Number.NaN), Number.NaN);
  t.is(loss(Number.POSITIVE_INFINITY), Number.POSITIVE_INFINITY);
  t.is(loss(1e-9), 1e-9);
  t.is(loss(1e21), 1e21);
});

test('before the first tick there is something to read, too', (t) => {
  const text = metricsText(DashboardState.begin(trainRun, nothingYet), { pages: 0, skippedTicks: 0 });
  t.deepEqual([...parseExposition(text).keys()].slice(0, 3), [
    ...['edgeshift_run_info', 'edgeshift_run_start_time_seconds', 'edgeshift_run_active'],
  ]);
});

test('the parser of these tests is strict', (t) => {
  for (const text of [
    ...['a 1\n', '# HELP a b\na 1\n', '# HELP a b\n# TYPE a gauge\na 1', '# HELP a b\n# TYPE a gauge\nb 1\n'],
    ...[
      '# HELP a b\n# TYPE a gauge\na 1\na 2\n',
      '# HELP a b\n# TYPE a gauge\na{x="1} 1\n',
      '# HELP a b\n# TYPE a gauge\n',
    ],
    ...['# HELP a b\n# TYPE a gauge\na{x="\\t"} 1\n', '# HELP a b\n# TYPE a gauge\na one\n', '\n', ''],
  ]) {
    t.throws(() => parseExposition(text), undefined, JSON.stringify(text));
  }
});
