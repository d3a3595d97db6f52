/** @file Roofline: arithmetic intensity of each step of the plan against the rate it reached. */
import type { Rates } from '../../../runtime/plan/plan.ts';
import type { StepTime } from '../record.ts';
import type { CloudChart } from './chart-data.ts';
import type { Figure } from './figure.ts';
import { durationText, fewDigits } from './quantities.ts';
import { passes } from './time-bars.ts';

/** Points at most: the steps that take longest. */
const POINTS = 150;

interface Reached {
  readonly step: StepTime;
  /** Operations for each byte read or written. */
  readonly intensity: number;
  /** GFLOP/s. */
  readonly rate: number;
}

/** Null if no step does arithmetic that was timed. Without rates there is no roof, and the note says so. */
export function rooflineFigure(steps: readonly StepTime[], rates: Rates | null): Figure | null {
  const counted = steps.filter(({ flops, bytes, millis }) => flops > 0 && bytes > 0 && millis > 0);
  if (counted.length === 0) return null;
  const points = counted
    .toSorted((a, b) => b.millis - a.millis)
    .slice(0, POINTS)
    .map((step) => ({ step, intensity: step.flops / step.bytes, rate: step.flops / step.millis / 1e6 }));
  const fastest = points.toSorted((a, b) => b.rate - a.rate)[0] as Reached;
  return {
    id: 'roofline',
    title: 'Roofline',
    summary:
      `${points.length} points between logarithmic axes. The fastest is ${stepName(fastest.step)} with ` +
      `${fewDigits(fastest.rate)} GFLOP/s at ${fewDigits(fastest.intensity)} FLOP per byte.`,
    chart: {
      kind: 'cloud',
      x: 'Arithmetic intensity (FLOP per byte)',
      y: 'Rate (GFLOP/s)',
      groups: passes
        .map(({ pass, label, colour, shape }) => ({
          label,
          colour,
          shape,
          points: points.filter(({ step }) => step.pass === pass).map(cloudPoint),
        }))
        .filter((group) => group.points.length > 0),
      roof: rates === null ? [] : roof(points, rates),
    },
    table: {
      head: ['Step', 'Pass', 'Time', 'FLOP per byte', 'GFLOP/s'],
      rows: points.map(({ step, intensity, rate }) => [
        stepName(step),
        step.pass,
        durationText(step.millis),
        fewDigits(intensity),
        fewDigits(rate),
      ]),
      words: 2,
    },
    note: note(points.length, steps.length, rates),
  };
}

const stepName = ({ op, node }: StepTime): string => (node === '' ? op : `${op} ${node}`);

const cloudPoint = ({ step, intensity, rate }: Reached) => ({
  x: Number(intensity.toPrecision(4)),
  y: Number(rate.toPrecision(4)),
  name: `${stepName(step)}, ${durationText(step.millis)}`,
});

/** Bandwidth's slope up to the intensity at which arithmetic becomes the limit, and level from there. */
function roof(points: readonly Reached[], { flopsPerSecond, bytesPerSecond }: Rates): CloudChart['roof'] {
  const ridge = flopsPerSecond / bytesPerSecond;
  const intensities = points.map(({ intensity }) => intensity);
  const from = Math.min(ridge / 4, ...intensities);
  const end = Math.max(ridge * 4, ...intensities);
  return [
    [from, (from * bytesPerSecond) / 1e9],
    [ridge, flopsPerSecond / 1e9],
    [end, flopsPerSecond / 1e9],
  ];
}

function note(shown: number, all: number, rates: Rates | null): string {
  const steps = shown < all ? `${shown} of ${all} steps: those with arithmetic that take longest.` : `${all} steps.`;
  const limit =
    rates === null
      ? 'No roof is drawn: the rates of this machine are not known.'
      : `Roof: ${fewDigits(rates.flopsPerSecond / 1e9)} GFLOP/s and ${fewDigits(rates.bytesPerSecond / 1e9)} GB/s, ${rates.basis}.`;
  return `${steps} ${limit}`;
}
