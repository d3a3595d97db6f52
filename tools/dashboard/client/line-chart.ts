/** @file One live chart in the page, drawn by Chart.js, whose data is exchanged and never grows. Runs in the browser. */
import type { ChartConfiguration, ChartOptions, Defaults, Chart as Drawn } from 'chart.js';
import type { Colour, Rule } from '../../profiler/report/chart-data.ts';
import type { Marks } from '../../profiler/report/client-marks.ts';
import { type LiveChart, limitRules } from '../charts.ts';
import { clockText } from '../figures.ts';
import type { Point, Status } from '../tick.ts';
import type { PageDocument, PageElement } from './browser.ts';

declare const document: PageDocument;
declare function getComputedStyle(element: PageElement): {
  readonly fontFamily: string;
  getPropertyValue(name: string): string;
};
/** Chart.js, as its script defines it. */
declare const Chart: {
  new (canvas: PageElement, configuration: ChartConfiguration): Drawn;
  readonly defaults: Defaults;
};

const FONT = 12;

const colour = (name: string): string =>
  getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();
const seriesColour = (place: Colour): string => colour(`c${place}`);
const font = (size = FONT) => ({ family: getComputedStyle(document.body).fontFamily, size });
const numberText = (value: number): string => value.toLocaleString('en-US', { maximumSignificantDigits: 4 });

/** As the charts of reports: no motion, no legend, plain tooltips, faint lines; in the colours that now hold. */
export function setChartDefaults(): void {
  const { defaults } = Chart;
  defaults.animation = false;
  defaults.maintainAspectRatio = false;
  defaults.color = colour('muted');
  defaults.borderColor = colour('rule');
  Object.assign(defaults.font, font());
  Object.assign(defaults.scale.ticks, { maxRotation: 0, autoSkipPadding: 16, includeBounds: false });
  defaults.plugins.legend.display = false;
  const [ink, ground] = [colour('ink'), colour('ground')];
  const look = { backgroundColor: ink, titleColor: ground, bodyColor: ground, cornerRadius: 2 };
  Object.assign(defaults.plugins.tooltip, look);
}

/** What the plugin of reports draws across the chart. */
function marks(rules: readonly Rule[]): Marks {
  const look = { ink: colour('ink'), muted: colour('muted'), font: font(FONT - 1) };
  return { axis: 'y', rules, moments: [], ...look, rows: 0, rowHeight: 0 };
}

type Options = ChartOptions<'line'>;

function optionsOf({ unit }: LiveChart): Options {
  const border = { color: colour('muted') };
  return {
    parsing: false,
    normalized: true,
    interaction: { mode: 'index', intersect: false },
    layout: { padding: { top: 6, right: 8 } },
    scales: {
      x: { type: 'linear', border, ticks: { callback: (value) => clockText(1000 * Number(value)) } },
      y: { min: 0, border },
    },
    plugins: {
      marks: marks([]),
      tooltip: {
        callbacks: {
          title: ([item]) => (item ? clockText(1000 * (item.parsed.x ?? 0)) : ''),
          label: (item) => `${item.dataset.label}: ${numberText(item.parsed.y ?? 0)} ${unit}`,
        },
      },
    },
  } as Options;
}

export class LiveLineChart {
  readonly #chart: LiveChart;
  readonly #drawn: Drawn;

  constructor(chart: LiveChart) {
    this.#chart = chart;
    this.#drawn = new Chart(document.getElementById(chart.id), {
      type: 'line',
      data: {
        datasets: chart.lines.map(({ label, colour: place }) => ({
          label,
          data: [],
          borderColor: seriesColour(place),
          backgroundColor: seriesColour(place),
          borderWidth: 2,
          spanGaps: true,
          pointRadius: 0,
          pointHitRadius: 8,
        })),
      },
      options: optionsOf(chart) as NonNullable<ChartConfiguration['options']>,
    });
  }

  show(points: readonly Point[], status: Status): void {
    const { id, lines, scale, limits } = this.#chart;
    let most = 0;
    for (const [place, { field }] of lines.entries()) {
      const data = points.flatMap((point) => {
        const value = point[field];
        most = Math.max(most, value ?? 0);
        return value === undefined ? [] : [{ x: point.at / 1000, y: value / scale }];
      });
      const dataset = this.#drawn.data.datasets[place];
      // Of one point there is no line.
      if (dataset) Object.assign(dataset, { data, pointRadius: data.length === 1 ? 3 : 0 });
    }
    const rules = limits ? limitRules(status, most) : [];
    this.#range(points, most / scale, rules);
    this.#drawn.update('none');
    this.#keys(id, points, rules);
  }

  destroy(): void {
    this.#drawn.destroy();
  }

  #range(points: readonly Point[], most: number, rules: readonly Rule[]): void {
    const options = this.#drawn.options as Options;
    const highest = 1.04 * Math.max(most, ...rules.map(({ value }) => value));
    Object.assign(options.scales?.x ?? {}, {
      min: (points[0]?.at ?? 0) / 1000,
      max: Math.max(1, (points.at(-1)?.at ?? 0) / 1000),
    });
    Object.assign(options.scales?.y ?? {}, { suggestedMax: highest });
    Object.assign(options.plugins ?? {}, { marks: marks(rules) });
  }

  /** Only what is drawn has a key; the newest values stand below, for those who do not see the lines. */
  #keys(id: string, points: readonly Point[], rules: readonly Rule[]): void {
    const { lines, scale, unit } = this.#chart;
    const newest = lines.flatMap(({ label, field }) => {
      const value = points.findLast((point) => point[field] !== undefined)?.[field];
      return value === undefined
        ? []
        : [{ field: field as string, text: `${label} ${numberText(value / scale)} ${unit}`.trim() }];
    });
    const shown = new Set([...newest.map(({ field }) => field), ...rules.map(({ label }) => label)]);
    for (const key of document.getElementById(`${id}-legend`).children) key.hidden = !shown.has(key.dataset.of ?? '');
    const texts = [
      ...newest.map(({ text }) => text),
      ...rules.map(({ label, value }) => `${label} ${numberText(value)} ${unit}`),
    ];
    if (texts.length > 0) document.getElementById(`${id}-now`).textContent = `Now: ${texts.join(', ')}`;
  }
}
