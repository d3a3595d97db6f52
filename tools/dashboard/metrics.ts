/**
 * @file The state as Prometheus asks for it: text format 0.0.4. Names carry base units (bytes, seconds, ratio), counters end in
 * `_total`. Source: prometheus.io, "Exposition formats" and "Metric and label naming".
 */
import type { DashboardState } from './state.ts';
import type { AdaptationStatus, Durations, TrainingStatus } from './tick.ts';

export const METRICS_TYPE = 'text/plain; version=0.0.4; charset=utf-8';

type Labels = Readonly<Record<string, string>>;

interface Sample {
  /** Appended to the metric's name, as `_sum` of a summary is. */
  readonly suffix?: '_sum' | '_count';
  readonly labels?: Labels;
  /** Null or undefined: not known, and left out. */
  readonly value: number | null | undefined;
}

interface Metric {
  readonly name: string;
  readonly type: 'counter' | 'gauge' | 'summary';
  readonly help: string;
  readonly samples: readonly Sample[];
}

/** What the server says of itself. */
export interface ServerCounts {
  readonly pages: number;
  /** Ticks that were not sent to a page because it had not read those before. */
  readonly skippedTicks: number;
}

export function metricsText(state: DashboardState, server: ServerCounts): string {
  const { training, adaptation, durations } = state.status;
  return [
    ...runMetrics(state),
    ...memoryMetrics(state),
    ...(training === null ? [] : trainingMetrics(training, durations)),
    ...(adaptation === null ? [] : adaptationMetrics(adaptation, durations)),
    gauge('edgeshift_dashboard_pages', 'Live pages that are open.', server.pages),
    counter(
      'edgeshift_dashboard_skipped_ticks_total',
      'Ticks left out for pages that read too slowly.',
      server.skippedTicks,
    ),
  ]
    .map(metricText)
    .join('');
}

const gauge = (name: string, help: string, value: Sample['value']): Metric => ({
  ...{ name, help, type: 'gauge' },
  samples: [{ value }],
});

const counter = (name: string, help: string, value: number): Metric => ({
  ...{ name, help, type: 'counter' },
  samples: [{ value }],
});

function runMetrics({ run, ended }: DashboardState): readonly Metric[] {
  const labels = { command: run.kind };
  return [
    { name: 'edgeshift_run_info', help: 'What runs.', type: 'gauge', samples: [{ labels, value: 1 }] },
    gauge('edgeshift_run_start_time_seconds', 'When the run began, since the epoch.', run.startedMillis / 1000),
    gauge('edgeshift_run_active', '1 while it runs, 0 once it has ended.', ended === null ? 1 : 0),
  ];
}

function memoryMetrics({ newest, status }: DashboardState): readonly Metric[] {
  return [
    gauge('edgeshift_memory_resident_bytes', 'Resident memory of the process and those it started.', newest?.rssBytes),
    gauge('edgeshift_memory_group_bytes', 'Memory of the control group whose limit holds the run.', newest?.groupBytes),
    gauge('edgeshift_memory_heap_bytes', 'JavaScript heap of the main thread.', newest?.heapBytes),
    gauge('edgeshift_memory_cap_bytes', 'What the run may hold.', status.capBytes),
    gauge('edgeshift_memory_planned_bytes', 'What the plan says the process takes.', status.plan?.totalBytes),
    gauge('edgeshift_memory_planned_arena_bytes', 'What the plan says its arena takes.', status.plan?.arenaBytes),
  ];
}

function trainingMetrics(status: TrainingStatus, durations: Durations | null): readonly Metric[] {
  const { taken, step, steps, epoch, loss, accuracy } = status;
  return [
    counter('edgeshift_training_steps_total', 'Steps of this process.', taken),
    gauge('edgeshift_training_step', 'Number of the last step; those before a resume count.', step),
    gauge('edgeshift_training_planned_steps', 'Steps that there will be.', steps),
    gauge('edgeshift_training_epoch', 'Epoch, from 1.', epoch),
    gauge('edgeshift_training_loss', 'Loss of the last step.', loss),
    {
      name: 'edgeshift_training_accuracy_ratio',
      help: 'Accuracy before and after the run, and of the last epoch on its training and validation images.',
      type: 'gauge',
      samples: Object.entries(accuracy).map(([of, value]) => ({ labels: { of }, value })),
    },
    summary('edgeshift_training_step_duration_seconds', 'Duration of a step, images to update.', durations),
  ];
}

function adaptationMetrics(status: AdaptationStatus, durations: Durations | null): readonly Metric[] {
  const family = (name: string, help: string, label: string, values: Readonly<Record<string, number>>): Metric => ({
    ...{ name, help, type: 'counter' },
    samples: Object.entries(values).map(([key, value]) => ({ labels: { [label]: key }, value })),
  });
  const { waiting: labelsWaiting, ...labels } = status.labels;
  return [
    counter('edgeshift_frames_predicted_total', 'Frames predicted.', status.predicted),
    counter(
      'edgeshift_frames_updated_total',
      'Predicted frames of calls that changed the model.',
      status.updatedFrames,
    ),
    counter('edgeshift_frames_dropped_total', 'Frames dropped because they came too fast.', status.dropped),
    counter(
      'edgeshift_frames_unadapted_total',
      'Frames kept from adaptation for want of time.',
      status.adaptationSkipped,
    ),
    counter('edgeshift_frames_unreadable_total', 'Frames that could not be decoded.', status.unreadable),
    gauge('edgeshift_frames_waiting', 'Frames that wait to be predicted.', status.waiting),
    family(
      'edgeshift_frames_decided_total',
      'Predicted frames by the reason of the decision.',
      'reason',
      status.reasons,
    ),
    counter('edgeshift_updates_total', 'Calls that changed the model.', status.updates),
    counter('edgeshift_resets_total', 'Times that what was learnt was taken back.', status.resets),
    counter('edgeshift_snapshots_total', 'Times that the state was saved.', status.snapshots),
    family('edgeshift_labels_total', 'Labels by what became of them.', 'outcome', labels),
    gauge('edgeshift_labels_waiting', 'Labels joined with their frames and not learnt from yet.', labelsWaiting),
    gauge('edgeshift_prediction_entropy_nats', 'Mean entropy of the last predictions.', status.entropy),
    summary('edgeshift_prediction_latency_seconds', 'From arrival of a frame to its prediction.', durations),
  ];
}

function summary(name: string, help: string, durations: Durations | null): Metric {
  const quantile = (value: string, millis: number): Sample => ({ labels: { quantile: value }, value: millis / 1000 });
  return {
    ...{ name, help, type: 'summary' },
    samples:
      durations === null
        ? []
        : [
            quantile('0.5', durations.p50Millis),
            quantile('0.99', durations.p99Millis),
            { suffix: '_sum', value: durations.sumMillis / 1000 },
            { suffix: '_count', value: durations.count },
          ],
  };
}

/** Nothing for a metric of which nothing is known. */
function metricText({ name, type, help, samples }: Metric): string {
  const lines = samples.flatMap(({ suffix = '', labels = {}, value }) =>
    value === null || value === undefined ? [] : [`${name}${suffix}${labelsText(labels)} ${numberText(value)}\n`],
  );
  return lines.length === 0 ? '' : `# HELP ${name} ${escapedHelp(help)}\n# TYPE ${name} ${type}\n${lines.join('')}`;
}

function labelsText(labels: Labels): string {
  const pairs = Object.entries(labels).map(([name, value]) => `${name}="${escapedLabel(value)}"`);
  return pairs.length === 0 ? '' : `{${pairs.join(',')}}`;
}

const escapedHelp = (text: string): string => text.replaceAll('\\', '\\\\').replaceAll('\n', '\\n');

const escapedLabel = (text: string): string => escapedHelp(text).replaceAll('"', '\\"');

function numberText(value: number): string {
  if (Number.isFinite(value) || Number.isNaN(value)) return String(value);
  return value > 0 ? '+Inf' : '-Inf';
}
