/** @file A chart in the page: caption, legend, canvas, and the same numbers as a table. */
import type { BarChart, ChartData, CloudChart, Colour, LineChart, Rule } from './chart-data.ts';
import { type Html, html } from './html.ts';

export interface Table {
  readonly head: readonly string[];
  /** A row of one cell is a heading of those that follow. */
  readonly rows: readonly (readonly string[])[];
  /** Columns from the left that hold words; the others hold numbers. */
  readonly words: number;
}

export interface Figure {
  /** Id of the canvas, unique in the page. */
  readonly id: string;
  readonly title: string;
  /** What the chart says, in words, for those who do not see it. */
  readonly summary: string;
  readonly chart: ChartData;
  readonly table: Table;
  /** Below the title; may be empty. */
  readonly note: string;
}

export function figureHtml(figure: Figure): Html {
  const { id, title, summary, chart, table, note } = figure;
  return html`<figure aria-labelledby="${id}-title">
<figcaption><h3 id="${id}-title">${title}</h3>${note === '' ? null : html`<p>${note}</p>`}</figcaption>
${legend(chart)}
<div class="plot"><canvas id="${id}" role="img" aria-label="${summary}"></canvas></div>
<details><summary>Table: ${title}</summary>
${tableHtml(table, title)}
</details>
</figure>
`;
}

/** A table that scrolls in itself where the page is narrow. */
export function tableHtml({ head, rows, words }: Table, title: string): Html {
  const cell = (text: string, at: number): Html =>
    at === 0 ? html`<th scope="row">${text}</th>` : html`<td${at < words ? null : html` class="number"`}>${text}</td>`;
  const heading = (text: string): Html =>
    html`<tr class="heading"><th scope="rowgroup" colspan="${head.length}">${text}</th></tr>\n`;
  return html`<div class="scroll" tabindex="0" role="region" aria-label="Table: ${title}"><table>
<thead><tr>${head.map((text, at) => html`<th scope="col"${at < words ? null : html` class="number"`}>${text}</th>`)}</tr></thead>
<tbody>
${rows.map((row) => (row.length === 1 ? heading(row[0] ?? '') : html`<tr>${row.map(cell)}</tr>\n`))}</tbody>
</table></div>`;
}

interface Key {
  readonly label: string;
  readonly shape: string;
  readonly colour: Colour | null;
}

/** What the colours and lines of a chart mean; nothing where there is only one meaning. */
function legend(chart: ChartData): Html | null {
  const keys = legendKeys(chart);
  if (keys.length < 2) return null;
  const items = keys.map(
    ({ label, shape, colour }) =>
      html`<li><span class="key ${shape}${colour === null ? '' : ` k${colour}`}"></span>${label}</li>`,
  );
  return html`<ul class="legend">${items}</ul>`;
}

function legendKeys(chart: ChartData): readonly Key[] {
  if (chart.kind === 'lines') return [...lineKeys(chart), ...ruleKeys(chart.rules)];
  if (chart.kind === 'bars') return [...barKeys(chart), ...ruleKeys(chart.rules)];
  return cloudKeys(chart);
}

const lineKeys = ({ lines }: LineChart): readonly Key[] =>
  lines.map(({ label, colour }) => ({ label, shape: 'line', colour }));

const ruleKeys = (rules: readonly Rule[]): readonly Key[] =>
  rules.map(({ label, drawn }) => ({ label, shape: drawn, colour: null }));

const barKeys = ({ bars }: BarChart): readonly Key[] =>
  bars.flatMap(({ label, colour }) => (typeof colour === 'number' ? [{ label, shape: 'rect', colour }] : []));

const cloudKeys = ({ groups, roof }: CloudChart): readonly Key[] => [
  ...groups.map(({ label, shape, colour }) => ({ label, shape, colour })),
  ...(roof.length > 0 ? [{ label: 'Roof', shape: 'dashed', colour: null }] : []),
];
