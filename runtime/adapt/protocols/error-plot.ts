/** @file Error over time of several methods on one stream, as a self-contained SVG file for light and dark pages. */
import type { StreamResults } from './results.ts';
import { type CurvePoint, errorCurve, meanError } from './score.ts';
import type { Segment, Stream } from './stream.ts';
import { decimal, element, escaped, niceTicks } from './svg.ts';

/** Colours of the lines on light and on dark ground, the first run's first; those after the last are dashed. */
const palette = [
  ['#6b7280', '#9ca3af'],
  ['#1d63c9', '#6aa9ff'],
  ['#d1600a', '#ff9d4d'],
  ['#15803d', '#5cc98a'],
  ['#b4257e', '#f27fc4'],
  ['#7c4dd8', '#b79bff'],
  ['#0f7c8a', '#4fc8d6'],
] as const;

const colourRules = (ground: 0 | 1): string =>
  palette.map((colours, at) => `.m${at}{stroke:${colours[ground]}}`).join('');

const style = [
  'text{font:12px system-ui,-apple-system,"Segoe UI",Roboto,"DejaVu Sans",sans-serif;fill:#1f2937}',
  '.title{font-size:14px;font-weight:600}.minor{fill:#4b5563}.ground{fill:#fff}',
  '.grid{stroke:#e5e7eb}.boundary{stroke:#cbd0d8}.axis{stroke:#4b5563}',
  '.line{fill:none;stroke-width:1.6;stroke-linejoin:round}.dashed{stroke-dasharray:5 3}',
  colourRules(0),
  '@media (prefers-color-scheme:dark){',
  'text{fill:#e5e7eb}.minor{fill:#aeb6c2}.ground{fill:#14181f}',
  '.grid{stroke:#2a303a}.boundary{stroke:#414956}.axis{stroke:#aeb6c2}',
  colourRules(1),
  '}',
].join('');

/** Where things are, in pixels. */
const width = 960;
const plot = { left: 56, right: width - 28, height: 280 } as const;
const row = 18;
/** Mean width of a character of 12 px, on the generous side. */
const charWidth = 6.7;
/** Of names that do not fit level. */
const slopeDegrees = 40;

/**
 * Draws the error of each run over the frames of the stream, with its boundaries and the mean errors in the legend. The first
 * run's line is grey: the one that the others are compared with.
 */
export function errorPlot({ stream, runs }: StreamResults): string {
  const curves = runs.map((run) => errorCurve(stream, run));
  const legend = legendRows(runs.map((run) => `${run.method} ${(100 * meanError(stream, run)).toFixed(1)} %`));
  const top = 44 + row * legend.length;
  const ticks = niceTicks(Math.max(1, ...curves.flat().map(({ error }) => 100 * error)), 5);
  const most = ticks.at(-1) as number;
  const x = (frame: number): number => plot.left + ((plot.right - plot.left) * frame) / stream.frames;
  const y = (percent: number): number => top + plot.height * (1 - percent / most);
  const names = segmentNames(stream, x, y(0) + 34);
  const height = Math.ceil(y(0) + 44 + names.height);
  const title = `Error over time, ${stream.protocol}, ${stream.frames.toLocaleString('en-US')} frames`;
  const parts = [
    element('style', {}, style),
    element('rect', { class: 'ground', width, height }),
    label({ x: plot.left, y: 22, class: 'title' }, title),
    ...legend.flat().map(legendEntry),
    ...ticks.flatMap((percent) => [
      element('line', { class: 'grid', x1: plot.left, x2: plot.right, y1: y(percent), y2: y(percent) }),
      label({ x: plot.left - 8, y: y(percent) + 4, 'text-anchor': 'end' }, `${Number(percent.toPrecision(3))} %`),
    ]),
    ...boundaries(stream).map((frame) =>
      element('line', { class: 'boundary', x1: x(frame), x2: x(frame), y1: top, y2: y(0) }),
    ),
    ...curves.map((curve, at) => line(curve, at, x, y, runs[at]?.method ?? '')),
    element('line', { class: 'axis', x1: plot.left, x2: plot.right, y1: y(0), y2: y(0) }),
    ...frameTicks(stream, x, y(0)),
    ...names.parts,
  ];
  const root = { xmlns: 'http://www.w3.org/2000/svg', viewBox: `0 0 ${width} ${height}`, width, height, role: 'img' };
  return `${element('svg', { ...root, 'aria-label': title }, `\n${parts.join('\n')}\n`)}\n`;
}

const label = (attributes: Readonly<Record<string, string | number>>, text: string): string =>
  element('text', attributes, escaped(text));

/** Grey is the first run's alone; the other colours come round again, dashed. */
function lineClass(at: number): string {
  const hues = palette.length - 1;
  const hue = at === 0 ? 0 : 1 + ((at - 1) % hues);
  return `line m${hue}${at > hues ? ' dashed' : ''}`;
}

/** Through the middles of the stretches; a stream of one stretch is drawn over its whole width. */
function line(
  curve: readonly CurvePoint[],
  at: number,
  x: (frame: number) => number,
  y: (percent: number) => number,
  method: string,
): string {
  const [first] = curve;
  const places =
    curve.length === 1 && first
      ? [first.from, first.end].map((frame) => [x(frame), y(100 * first.error)] as const)
      : curve.map(({ from, end, error }) => [x((from + end) / 2), y(100 * error)] as const);
  const points = places.map(([left, down]) => `${decimal(left)},${decimal(down)}`).join(' ');
  return element('polyline', { class: lineClass(at), points }, element('title', {}, escaped(method)));
}

interface LegendEntry {
  readonly text: string;
  readonly at: number;
  readonly left: number;
  readonly top: number;
}

/** Entries side by side in columns, as many as fit. */
function legendRows(texts: readonly string[]): readonly (readonly LegendEntry[])[] {
  const column = 30 + charWidth * Math.max(...texts.map(({ length }) => length)) + 16;
  const columns = Math.max(1, Math.floor((plot.right - plot.left) / column));
  const rows: LegendEntry[][] = [];
  for (const [at, text] of texts.entries()) {
    const down = Math.floor(at / columns);
    rows[down] ??= [];
    rows[down].push({ text, at, left: plot.left + (at % columns) * column, top: 36 + row * down });
  }
  return rows;
}

function legendEntry({ text, at, left, top }: LegendEntry): string {
  const sample = element('line', { class: lineClass(at), x1: left, x2: left + 22, y1: top + 5, y2: top + 5 });
  return sample + label({ x: left + 28, y: top + 9 }, text);
}

/** Frames where a segment begins, but the first. */
function boundaries({ segments }: Stream): readonly number[] {
  return ends(segments).slice(0, -1);
}

function ends(segments: readonly Segment[]): readonly number[] {
  let end = 0;
  return segments.map(({ images }) => {
    end += images.length;
    return end;
  });
}

function frameTicks({ frames }: Stream, x: (frame: number) => number, bottom: number): readonly string[] {
  const shown = niceTicks(frames, 6).filter((frame) => frame <= frames && Number.isInteger(frame));
  return shown.flatMap((frame) => [
    element('line', { class: 'axis', x1: x(frame), x2: x(frame), y1: bottom, y2: bottom + 5 }),
    label({ x: x(frame), y: bottom + 19, class: 'minor', 'text-anchor': 'middle' }, frame.toLocaleString('en-US')),
  ]);
}

/** Names below the middles of their segments: level if all fit, aslant otherwise. */
function segmentNames(
  { segments }: Stream,
  x: (frame: number) => number,
  top: number,
): { readonly parts: readonly string[]; readonly height: number } {
  const widest = Math.max(...segments.map(({ name }) => charWidth * name.length));
  const level = segments.every(({ name, images }) => charWidth * name.length + 8 <= x(images.length) - x(0));
  const parts = ends(segments).map((end, at) => {
    const { name, images } = segments[at] as Segment;
    const middle = x(end - images.length / 2);
    if (level) return label({ x: middle, y: top + 6, 'text-anchor': 'middle' }, name);
    const turned = `rotate(-${slopeDegrees} ${decimal(middle)} ${decimal(top)})`;
    return label({ x: middle, y: top + 4, 'text-anchor': 'end', transform: turned }, name);
  });
  return { parts, height: level ? 6 : widest * Math.sin((slopeDegrees * Math.PI) / 180) };
}
