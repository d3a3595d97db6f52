/**
 * @file Draws the charts of a page. Runs in the browser: page.ts inlines what this compiles to, so it imports types only. All that
 * it shows comes from the page's own data and style sheet.
 */
import type { ChartConfiguration, Defaults, Chart as Drawn } from 'chart.js';
import type { BarChart, ChartData, CloudChart, Colour, LineChart, Moment, Rule } from './chart-data.ts';
import type { Marks } from './client-marks.ts';

/** The part of the browser that is used here; the rest of the project is compiled without a browser's types. */
interface Element {
  readonly textContent: string | null;
  readonly parentElement: { readonly style: { height: string } } | null;
}
declare const document: {
  readonly documentElement: Element;
  readonly body: Element;
  getElementById(id: string): Element;
};
declare function getComputedStyle(element: Element): {
  readonly fontFamily: string;
  getPropertyValue(name: string): string;
};
declare function matchMedia(query: string): { addEventListener(type: 'change', listener: () => void): void };
/** Chart.js, as its script defines it. */
declare const Chart: { new (canvas: Element, configuration: ChartConfiguration): Drawn; readonly defaults: Defaults };

/** Pixels of a row of bars, with its gap. */
const ROW = 26;
/** Pixels of the labels of moments: rows, and their height. */
const [MOMENT_ROWS, MOMENT_HEIGHT] = [3, 15];
/** Mean width of a letter, as a share of the font's size. */
const LETTER = 0.56;
const FONT = 12;

const charts = JSON.parse(document.getElementById('charts').textContent ?? '{}') as Readonly<Record<string, ChartData>>;
let drawn: readonly Drawn[] = [];

/** Draws every chart in the colours that now hold. */
function drawAll(): void {
  for (const chart of drawn) chart.destroy();
  setDefaults(Chart.defaults);
  drawn = Object.entries(charts).map(([id, data]) => {
    const canvas = document.getElementById(id);
    if (data.kind === 'bars' && canvas.parentElement) canvas.parentElement.style.height = `${barsHeight(data)}px`;
    return new Chart(canvas, configuration(data));
  });
}

function barsHeight({ labels, bars, stacked }: BarChart): number {
  return 64 + ROW * labels.length * (stacked ? 1 : Math.max(1, 0.75 * bars.length));
}

function configuration(data: ChartData): ChartConfiguration {
  if (data.kind === 'lines') return lineConfiguration(data);
  return data.kind === 'bars' ? barConfiguration(data) : cloudConfiguration(data);
}

const colour = (name: string): string =>
  getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();
const seriesColour = (place: Colour): string => colour(`c${place}`);
const font = (size = FONT) => ({ family: getComputedStyle(document.body).fontFamily, size });

/** No motion, no legend (the page has its own), plain tooltips, few ticks, faint lines. */
function setDefaults(defaults: Defaults): void {
  defaults.animation = false;
  defaults.maintainAspectRatio = false;
  defaults.color = colour('muted');
  defaults.borderColor = colour('rule');
  Object.assign(defaults.font, font());
  Object.assign(defaults.scale.ticks, { maxRotation: 0, autoSkipPadding: 16, includeBounds: false });
  defaults.plugins.legend.display = false;
  const [ink, ground] = [colour('ink'), colour('ground')];
  Object.assign(defaults.plugins.tooltip, {
    backgroundColor: ink,
    titleColor: ground,
    bodyColor: ground,
    cornerRadius: 2,
  });
}

/** Options of the plugin in client-marks.ts. */
function marks(axis: 'x' | 'y', rules: readonly Rule[], moments: readonly Moment[] = []): Marks {
  const look = { ink: colour('ink'), muted: colour('muted'), font: font(FONT - 1) };
  return { axis, rules, moments, ...look, rows: MOMENT_ROWS, rowHeight: MOMENT_HEIGHT };
}

function axis(title: string) {
  return { title: { display: title !== '', text: title }, border: { color: colour('muted') } };
}

const numberText = (value: number): string => value.toLocaleString('en-US', { maximumSignificantDigits: 5 });

function lineConfiguration(data: LineChart): ChartConfiguration {
  const { at, lines, unit, rules, moments } = data;
  return {
    type: 'line',
    data: {
      datasets: lines.map(({ label, colour: place, values }) => ({
        label,
        data: values.map((y, row) => ({ x: at[row] ?? 0, y })),
        borderColor: seriesColour(place),
        backgroundColor: seriesColour(place),
        borderWidth: 2,
        spanGaps: true,
        pointRadius: at.length === 1 ? 3 : 0,
        pointHitRadius: 8,
      })) as ChartConfiguration['data']['datasets'],
    },
    options: {
      parsing: false,
      interaction: { mode: 'index', intersect: false },
      layout: { padding: { top: moments.length > 0 ? MOMENT_ROWS * MOMENT_HEIGHT + 4 : 6, right: 8 } },
      scales: {
        x: { type: 'linear', min: 0, max: data.end, ...axis(data.x) },
        y: { min: 0, suggestedMax: 1.04 * data.most, ...axis(data.y) },
      },
      plugins: {
        marks: marks('y', rules, moments),
        tooltip: {
          callbacks: {
            title: ([item]) => (item ? `${numberText(item.parsed.x ?? 0)} s` : ''),
            label: (item) => `${item.dataset.label}: ${numberText(item.parsed.y ?? 0)} ${unit}`,
          },
        },
      },
    },
  };
}

function barConfiguration(data: BarChart): ChartConfiguration {
  const { labels, bars, stacked, unit, rules } = data;
  const highest = Math.max(0, ...rules.map(({ value }) => value));
  return {
    type: 'bar',
    data: {
      labels: [...labels],
      datasets: bars.map(({ label, colour: places, values }) => ({
        label,
        data: values.map((value) => (typeof value === 'number' ? value : [...value])),
        backgroundColor: typeof places === 'number' ? seriesColour(places) : places.map(seriesColour),
        // Of a single series all are more than nothing, and the smallest are to be seen.
        minBarLength: bars.length === 1 ? 2 : 0,
        categoryPercentage: 0.8,
        barPercentage: 0.95,
      })) as ChartConfiguration['data']['datasets'],
    },
    options: {
      indexAxis: 'y',
      interaction: { mode: 'index', axis: 'y', intersect: false },
      layout: { padding: { right: 10 } },
      scales: {
        x: { stacked, min: 0, suggestedMax: 1.02 * highest, ...axis(data.x) },
        y: { ...rowAxis(labels), stacked },
      },
      plugins: {
        marks: marks('x', rules),
        tooltip: {
          callbacks: { label: (item) => `${item.dataset.label}: ${numberText(barLength(item.raw))} ${unit}` },
        },
      },
    },
  };
}

function barLength(value: unknown): number {
  return Array.isArray(value) ? Number(value[1]) - Number(value[0]) : Number(value);
}

/** The axis of the rows' names: every name, shortened to a share of the width. */
function rowAxis(labels: readonly string[]) {
  return {
    ...axis(''),
    grid: { display: false },
    ticks: {
      autoSkip: false,
      color: colour('ink'),
      callback(this: { readonly chart: { readonly width: number } }, _: unknown, row: number): string {
        return shortened(labels[row] ?? '', Math.floor((0.46 * this.chart.width) / (LETTER * FONT)));
      },
    },
  };
}

/** Names of tensors are paths, and their ends differ most. */
function shortened(name: string, most: number): string {
  if (name.length <= most) return name;
  const text = name.replace(/_output_0$/, '');
  if (text.length <= most) return text;
  return text.includes('/') ? `…${text.slice(1 - most)}` : `${text.slice(0, most - 1)}…`;
}

function cloudConfiguration({ x, y, groups, roof }: CloudChart): ChartConfiguration {
  const places = [...groups.flatMap(({ points }) => points), ...roof.map(([left, height]) => ({ x: left, y: height }))];
  const names = groups.map(({ points }) => points.map(({ name }) => name));
  const line = {
    data: roof.map(([left, height]) => ({ x: left, y: height })),
    showLine: true,
    pointRadius: 0,
    pointHitRadius: 0,
    borderColor: colour('ink'),
    borderWidth: 2,
    borderDash: [7, 4],
  };
  return {
    type: 'scatter',
    data: {
      datasets: [
        ...groups.map(({ points, colour: place, shape }) => ({
          data: points.map((point) => ({ x: point.x, y: point.y })),
          pointStyle: shape,
          radius: 5,
          hoverRadius: 7,
          backgroundColor: `${seriesColour(place)}b0`,
          borderColor: seriesColour(place),
        })),
        line,
      ],
    },
    options: {
      scales: {
        x: logarithmicAxis(
          x,
          places.map((place) => place.x),
        ),
        y: logarithmicAxis(
          y,
          places.map((place) => place.y),
        ),
      },
      plugins: {
        marks: marks('y', []),
        tooltip: {
          callbacks: {
            label: ({ datasetIndex, dataIndex, parsed }) => [
              names[datasetIndex]?.[dataIndex] ?? '',
              `${numberText(parsed.y ?? 0)} GFLOP/s at ${numberText(parsed.x ?? 0)} FLOP per byte`,
            ],
          },
        },
      },
    },
  };
}

/** From one power of ten to another; only they have labels. */
function logarithmicAxis(title: string, values: readonly number[]) {
  const power = (value: number): boolean => Math.abs(Math.log10(value) - Math.round(Math.log10(value))) < 1e-6;
  return {
    ...axis(title),
    grid: {
      color: ({ tick }: { readonly tick: { readonly value: number } }) =>
        power(tick.value) ? colour('rule') : 'transparent',
    },
    type: 'logarithmic' as const,
    min: 10 ** Math.floor(Math.log10(Math.min(...values))),
    max: 10 ** Math.ceil(Math.log10(Math.max(...values))),
    ticks: {
      autoSkip: false,
      callback: (value: string | number): string => (power(Number(value)) ? numberText(Number(value)) : ''),
    },
  };
}

drawAll();
for (const query of ['print', '(prefers-color-scheme: dark)']) matchMedia(query).addEventListener('change', drawAll);
