/**
 * @file Teaches Chart.js to draw what lies across a chart: limits, and moments in time. Runs in the browser before client.ts;
 * page.ts inlines what it compiles to, so it imports types only.
 */
import type { ChartType, Chart as Drawn, Plugin } from 'chart.js';
import type { Moment, Rule } from './chart-data.ts';

/** Options of the plugin. */
export interface Marks {
  /** Lines across the chart at values of this axis. */
  readonly axis: 'x' | 'y';
  readonly rules: readonly Rule[];
  /** Places of the x axis. */
  readonly moments: readonly Moment[];
  /** Colours of rules and of moments. */
  readonly ink: string;
  readonly muted: string;
  readonly font: { readonly family: string; readonly size: number };
  /** Rows for the names of moments, in the padding above the chart, and their height in pixels. */
  readonly rows: number;
  readonly rowHeight: number;
}

declare module 'chart.js' {
  interface PluginOptionsByType<TType extends ChartType> {
    readonly marks?: TType extends ChartType ? Marks : never;
  }
}

declare const Chart: { register(plugin: Plugin<ChartType, Marks>): void };

function drawRules({ ctx, chartArea, scales }: Drawn, { axis, rules, ink }: Marks): void {
  ctx.save();
  ctx.strokeStyle = ink;
  for (const { value, drawn } of rules) {
    const place = scales[axis]?.getPixelForValue(value) ?? 0;
    const { left, right, top, bottom } = chartArea;
    ctx.lineWidth = drawn === 'dashed' ? 2 : 2.5;
    ctx.lineCap = drawn === 'dashed' ? 'butt' : 'round';
    ctx.setLineDash(drawn === 'dashed' ? [8, 4] : [0.1, 5]);
    ctx.beginPath();
    ctx.moveTo(axis === 'x' ? place : left, axis === 'x' ? top : place);
    ctx.lineTo(axis === 'x' ? place : right, axis === 'x' ? bottom : place);
    ctx.stroke();
  }
  ctx.restore();
}

/** Pixels between a moment's line and its name, and between two names. */
const GAP = 3;

/**
 * Thin lines with names above them, as far as there is room. From the last to the first, so that a line that reaches up to its
 * name passes on the left of all names that are there.
 */
function drawMoments({ ctx, chartArea, scales, width }: Drawn, { moments, muted, font, rows, rowHeight }: Marks): void {
  const taken = new Array<number>(rows).fill(Number.POSITIVE_INFINITY);
  ctx.save();
  ctx.font = `${font.size}px ${font.family}`;
  ctx.textBaseline = 'bottom';
  ctx.fillStyle = muted;
  ctx.strokeStyle = muted;
  for (const { at, label } of moments.toReversed()) {
    const place = scales.x?.getPixelForValue(at) ?? 0;
    const wide = ctx.measureText(label).width;
    const left = place + GAP + wide <= width ? place + GAP : place - GAP - wide;
    const row = taken.findIndex((start) => left + wide + 2 * GAP <= start);
    const base = chartArea.top - row * rowHeight;
    if (row >= 0) {
      ctx.fillText(label, left, base);
      taken[row] = left;
    }
    const isClear = row >= 0 && taken.slice(0, row).every((start) => start > place);
    ctx.globalAlpha = 0.6;
    ctx.beginPath();
    ctx.moveTo(place, isClear ? base - rowHeight + GAP : chartArea.top);
    ctx.lineTo(place, chartArea.bottom);
    ctx.stroke();
    ctx.globalAlpha = 1;
  }
  ctx.restore();
}

Chart.register({
  id: 'marks',
  // Plain data: neither functions to be called nor lists to be indexed by the place of a value.
  descriptors: { _scriptable: false, _indexable: false },
  beforeDatasetsDraw: (chart, _, marks) => drawMoments(chart, marks),
  afterDatasetsDraw: (chart, _, marks) => drawRules(chart, marks),
} as Plugin<ChartType, Marks>);
