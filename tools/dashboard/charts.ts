/** @file What the live charts show, as plain data: the page has their legends, its script draws them. Runs in the browser, too. */
import type { Colour, Rule } from '../profiler/report/chart-data.ts';
import type { Point, RunKind, Status } from './tick.ts';

export interface LiveLine {
  readonly label: string;
  readonly colour: Colour;
  readonly field: Exclude<keyof Point, 'at'>;
}

export interface LiveChart {
  /** Id of its canvas. */
  readonly id: string;
  readonly title: string;
  readonly unit: string;
  /** What a value is divided by. */
  readonly scale: number;
  readonly lines: readonly LiveLine[];
  /** Whether cap and plan lie across it. */
  readonly limits: boolean;
}

const MIB = 2 ** 20;

const memory: LiveChart = {
  ...{ id: 'memory', title: 'Memory', unit: 'MiB', scale: MIB, limits: true },
  lines: [
    { label: 'Processes (RSS)', colour: 0, field: 'rssBytes' },
    { label: 'Control group', colour: 2, field: 'groupBytes' },
    { label: 'JavaScript heap', colour: 6, field: 'heapBytes' },
  ],
};

const plain = { scale: 1, limits: false };

const quantiles: LiveChart['lines'] = [
  { label: 'Median', colour: 0, field: 'p50Millis' },
  { label: '99 of 100 below', colour: 1, field: 'p99Millis' },
];

export const liveCharts: Readonly<Record<RunKind, readonly LiveChart[]>> = {
  train: [
    memory,
    { ...plain, id: 'loss', title: 'Loss', unit: '', lines: [{ label: 'Loss', colour: 1, field: 'loss' }] },
    {
      ...{ id: 'accuracy', title: 'Accuracy by epoch', unit: '%', scale: 0.01, limits: false },
      lines: [
        { label: 'Training', colour: 0, field: 'trainAccuracy' },
        { label: 'Validation', colour: 1, field: 'validationAccuracy' },
      ],
    },
    { ...plain, id: 'time', title: 'Time of a step', unit: 'ms', lines: quantiles },
  ],
  adapt: [
    memory,
    {
      ...{ ...plain, id: 'entropy', title: 'Entropy of the predictions', unit: 'nats' },
      lines: [{ label: 'Entropy', colour: 1, field: 'entropy' }],
    },
    { ...plain, id: 'time', title: 'From arrival to prediction', unit: 'ms', lines: quantiles },
    {
      ...{ ...plain, id: 'rate', title: 'Frames a second', unit: '/s' },
      lines: [
        { label: 'Predicted', colour: 0, field: 'rate' },
        { label: 'Dropped', colour: 1, field: 'lostRate' },
      ],
    },
  ],
};

/** Lines across the memory chart, by the label of their key. */
export const limitKeys: readonly Pick<Rule, 'label' | 'drawn'>[] = [
  { label: 'Cap', drawn: 'dashed' },
  { label: 'Plan', drawn: 'dotted' },
];

/** A cap further above everything else than this would leave no room for the lines. */
const HIGHEST_CAP = 3;

/** Cap and plan as far as they are known and near. @param most highest value measured, in bytes */
export function limitRules({ capBytes, plan }: Status, most: number): readonly Rule[] {
  const bytes: Readonly<Record<string, number | undefined>> = {
    Cap: capBytes !== null && capBytes <= HIGHEST_CAP * Math.max(most, plan?.totalBytes ?? 0) ? capBytes : undefined,
    Plan: plan?.totalBytes,
  };
  return limitKeys.flatMap(({ label, drawn }) => {
    const value = bytes[label];
    return value === undefined ? [] : [{ label, drawn, value: value / MIB }];
  });
}
