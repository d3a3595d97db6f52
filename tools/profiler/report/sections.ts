/** @file Parts that a report and a comparison share. */
import type { ProfileRecord } from '../record.ts';
import type { ChartData } from './chart-data.ts';
import { commandWords } from './facts.ts';
import { type Figure, figureHtml } from './figure.ts';
import { type Html, html } from './html.ts';

/** A heading and what stands below it. */
export function section(title: string, body: Html): Html {
  return html`<section><h2>${title}</h2>
${body}
</section>
`;
}

/** Figures below one another, or two in a row where there is room. Null if there is none. */
export function figureSection(
  title: string,
  figures: readonly (Figure | null)[],
  columns: 'one' | 'two' = 'one',
  note: string | null = null,
): Html | null {
  const shown = figures.filter((figure) => figure !== null);
  if (shown.length === 0) return null;
  return section(
    title,
    html`${note === null ? null : html`<p class="note">${note}</p>`}<div class="grid ${shown.length > 1 ? columns : 'one'}">
${shown.map(figureHtml)}</div>`,
  );
}

/** The command; it breaks between its words, not at their dashes. */
export function commandLine(record: ProfileRecord): Html {
  return html`<p class="command"><code>${commandWords(record).map((word) => html`<span>${word}</span> `)}</code></p>`;
}

/** By the id of the canvas. */
export function chartsOf(figures: readonly (Figure | null)[]): Readonly<Record<string, ChartData>> {
  return Object.fromEntries(figures.flatMap((figure) => (figure === null ? [] : [[figure.id, figure.chart]])));
}

/** Sentences of a record, which may begin in lower case and end without a full stop. */
export function sentenceList(sentences: readonly string[]): Html {
  const whole = sentences.map(
    (text) => `${text.slice(0, 1).toUpperCase()}${text.slice(1)}${/[.!?]$/.test(text) ? '' : '.'}`,
  );
  return html`<ul class="missing">${whole.map((text) => html`<li>${text}</li>`)}</ul>`;
}
