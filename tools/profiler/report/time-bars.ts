/** @file Where the time of a training step goes: bars for each op or block, by pass. */
import type { StepTime } from '../record.ts';
import type { Colour, Shape } from './chart-data.ts';
import type { Figure } from './figure.ts';
import { durationText, percentText } from './quantities.ts';

/** Bars at most; the rest share one. */
const BARS = 14;

export const passes: readonly {
  readonly pass: StepTime['pass'];
  readonly label: string;
  readonly colour: Colour;
  readonly shape: Shape;
}[] = [
  { pass: 'prefix', label: 'Prefix', colour: 6, shape: 'rectRot' },
  { pass: 'forward', label: 'Forward', colour: 0, shape: 'circle' },
  { pass: 'backward', label: 'Backward', colour: 1, shape: 'triangle' },
  { pass: 'optimizer', label: 'Optimizer', colour: 2, shape: 'rect' },
];

/** Time that belongs together. */
export interface TimeGroup {
  readonly name: string;
  readonly millis: number;
  readonly steps: readonly StepTime[];
}

const unnamed = { op: 'unnamed', block: 'outside blocks' };

/** Steps with the same `key` as one, longest first; after `most` of them the rest as `others`. */
export function timeGroups(steps: readonly StepTime[], key: 'op' | 'block', most = BARS): readonly TimeGroup[] {
  const groups = new Map<string, StepTime[]>();
  for (const step of steps) {
    const name = step[key] === '' ? unnamed[key] : step[key];
    const group = groups.get(name);
    if (group) group.push(step);
    else groups.set(name, [step]);
  }
  const sorted = [...groups]
    .map(([name, members]) => ({ name, millis: millisOf(members), steps: members }))
    .sort((a, b) => b.millis - a.millis);
  if (sorted.length <= most) return sorted;
  const rest = sorted.slice(most - 1).flatMap((group) => group.steps);
  const others = { name: `${sorted.length - most + 1} others`, millis: millisOf(rest), steps: rest };
  return [...sorted.slice(0, most - 1), others];
}

export const millisOf = (steps: readonly StepTime[]): number => steps.reduce((sum, { millis }) => sum + millis, 0);

/** Null if no time was recorded. */
export function timesFigure(steps: readonly StepTime[], key: 'op' | 'block'): Figure | null {
  const total = millisOf(steps);
  if (!(total > 0)) return null;
  const groups = timeGroups(steps, key);
  const used = passes.filter(({ pass }) => steps.some((step) => step.pass === pass));
  const inPass = (group: TimeGroup, pass: StepTime['pass']): number =>
    millisOf(group.steps.filter((step) => step.pass === pass));
  const first = groups[0] as TimeGroup;
  return {
    id: `time-${key}`,
    title: `Time of a step, by ${key}`,
    summary: `Bars that add up to ${durationText(total)}; the longest is ${first.name} with ${percentText(first.millis / total)}.`,
    chart: {
      kind: 'bars',
      x: 'Time (ms)',
      unit: 'ms',
      labels: groups.map(({ name }) => name),
      bars: used.map(({ pass, label, colour }) => ({
        label,
        colour,
        values: groups.map((group) => Number(inPass(group, pass).toPrecision(4))),
      })),
      stacked: true,
      rules: [],
    },
    table: {
      head: [key === 'op' ? 'Op' : 'Block', 'Steps', 'Time', 'Share', ...used.map(({ label }) => label)],
      rows: groups.map((group) => [
        group.name,
        String(group.steps.length),
        durationText(group.millis),
        percentText(group.millis / total),
        ...used.map(({ pass }) => durationText(inPass(group, pass))),
      ]),
      words: 1,
    },
    note: `Together ${durationText(total)}.`,
  };
}
