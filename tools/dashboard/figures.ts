/** @file The main figures of a live page as texts. Runs in the browser, too. */
import type { AdaptationStatus, Durations, Point, Status, TrainingStatus } from './tick.ts';

const UNKNOWN = '–';
const MIB = 2 ** 20;

/** A figure and what it is of; one that is not known has a dash. */
export type FigureText = readonly [label: string, value: string];

const sizeText = (bytes: number | null | undefined): string =>
  typeof bytes === 'number' ? `${(bytes / MIB).toFixed(1)} MiB` : UNKNOWN;

const shareText = (share: number | null): string => (share === null ? UNKNOWN : `${(100 * share).toFixed(1)} %`);

const countText = (count: number): string => count.toLocaleString('en-US');

const fixedText = (value: number | null, digits: number): string => value?.toFixed(digits) ?? UNKNOWN;

/** `0.42 ms`, `812 ms`, `12.3 s`: three digits. */
export function millisText(millis: number): string {
  return millis < 1000 ? `${Number(millis.toPrecision(3))} ms` : `${Number((millis / 1000).toPrecision(3))} s`;
}

/** `4:05`, `1:02:03`. */
export function clockText(millis: number): string {
  const seconds = Math.max(0, Math.floor(millis / 1000));
  const [hours, minutes] = [Math.floor(seconds / 3600), Math.floor(seconds / 60) % 60];
  const two = (value: number): string => String(value).padStart(2, '0');
  return `${hours > 0 ? `${hours}:${two(minutes)}` : minutes}:${two(seconds % 60)}`;
}

export function figureTexts(
  { plan, capBytes, durations, training, adaptation }: Status,
  newest: Point | null,
): readonly FigureText[] {
  return [
    ...(training === null ? [] : trainingTexts(training)),
    ...(adaptation === null ? [] : adaptationTexts(adaptation)),
    ...durationTexts(durations, training === null ? 'Latency' : 'Step'),
    ['Memory', sizeText(newest?.rssBytes)],
    ['Planned', sizeText(plan?.totalBytes)],
    ['Cap', sizeText(capBytes)],
    ['Running', newest === null ? UNKNOWN : clockText(newest.at)],
  ];
}

function trainingTexts({ step, steps, epoch, loss, accuracy }: TrainingStatus): readonly FigureText[] {
  return [
    ['Step', steps === 0 ? UNKNOWN : `${countText(step)} / ${countText(steps)}`],
    ['Epoch', epoch === 0 ? UNKNOWN : countText(epoch)],
    ['Loss', fixedText(loss, 4)],
    ['Accuracy, training', shareText(accuracy.training)],
    ['Accuracy, validation', shareText(accuracy.validation)],
    ['Accuracy before', shareText(accuracy.before)],
    ['Accuracy after', shareText(accuracy.after)],
  ];
}

function adaptationTexts(status: AdaptationStatus): readonly FigureText[] {
  const { used, waiting, early, forgotten, invalid } = status.labels;
  const labelled = used + waiting + early + forgotten + invalid > 0;
  return [
    ['Frames', countText(status.predicted)],
    ['Updates', countText(status.updates)],
    ['Resets', countText(status.resets)],
    ['Dropped', countText(status.dropped)],
    ['Unreadable', countText(status.unreadable)],
    ['Waiting', countText(status.waiting)],
    ['Entropy', fixedText(status.entropy, 3)],
    ...(labelled
      ? ([
          ['Labels used', countText(used)],
          ['Labels refused', countText(early + forgotten + invalid)],
        ] as const)
      : []),
  ];
}

function durationTexts(durations: Durations | null, what: string): readonly FigureText[] {
  const text = (millis: number | undefined): string => (millis === undefined ? UNKNOWN : millisText(millis));
  return [
    [`${what}, median`, text(durations?.p50Millis)],
    [`${what}, 99 %`, text(durations?.p99Millis)],
  ];
}
