/** @file A profiled run as one HTML file: what it took against what was planned and allowed. */
import { writeAtomically } from '../../../runtime/delta/atomic-file.ts';
import type { ProfileRecord } from '../record.ts';
import { arenaWaterfall } from './arena.ts';
import { blocksFigure } from './blocks.ts';
import { boardFigures } from './board.ts';
import { commandText, facts } from './facts.ts';
import { tableHtml } from './figure.ts';
import { headline } from './headline.ts';
import { type Html, html } from './html.ts';
import { mainFigures } from './main-figures.ts';
import { memoryFigure } from './memory.ts';
import { pageHtml } from './page.ts';
import { plannedMeasuredTable } from './planned-measured.ts';
import { rooflineFigure } from './roofline.ts';
import { chartsOf, commandLine, figureSection, section, sentenceList } from './sections.ts';
import { timesFigure } from './time-bars.ts';
import { processWaterfall } from './waterfall.ts';

/** The report of one run. */
export function reportHtml(record: ProfileRecord): string {
  const { planned, steps, rates, missing } = record;
  const memory = [memoryFigure(record, 'memory', 'Memory against cap and plan')];
  const atPeak = [processWaterfall(record), arenaWaterfall(planned)];
  const blocks = [blocksFigure(planned), timesFigure(steps, 'block')];
  const ops = [timesFigure(steps, 'op'), rooflineFigure(steps, rates)];
  const board = boardFigures(record);
  const body = html`${pageHeader(record)}
<main>
${figureSection('Memory over time', memory)}
${plannedMeasuredSection(record)}
${figureSection('Alive at the peak', atPeak)}
${figureSection('By block', blocks, 'two')}
${figureSection('By op', ops, 'two')}
${figureSection('Machine over time', board, 'two')}
${section('Run, limit and machine', html`<div class="columns">${factsTables(record)}</div>`)}
${missing.length === 0 ? null : section('What this report does not say', sentenceList(missing))}
</main>
${footer(record)}`;
  const title = `${headline(record).title}: ${commandText(record)}`;
  return pageHtml({ title, body, charts: chartsOf([...memory, ...atPeak, ...blocks, ...ops, ...board]) });
}

/** Writes the report of a run, whole or not at all. @throws DataError if it cannot be written */
export async function writeReport(record: ProfileRecord, path: string): Promise<void> {
  await writeAtomically(path, [Buffer.from(reportHtml(record), 'utf8')]);
}

function pageHeader(record: ProfileRecord): Html {
  const { tone, title, sentences } = headline(record);
  const { errorText } = record.outcome;
  return html`<header>
${commandLine(record)}
<h1 class="${tone}">${title}</h1>
<div class="lede">${sentences.map((sentence) => html`<p>${sentence}</p>`)}</div>
${errorText === '' ? null : html`<pre aria-label="Standard error, last lines">${errorText}</pre>`}
<dl class="figures">${mainFigures(record)
    .filter(({ value }) => value !== null)
    .map(({ label, value, text }) => html`<div><dt>${label}</dt><dd>${text(value)}</dd></div>`)}</dl>
</header>`;
}

/** Null where nothing was planned and nothing measured. */
function plannedMeasuredSection(record: ProfileRecord): Html | null {
  const table = plannedMeasuredTable(record);
  if (table.rows.length === 0) return null;
  return section('Planned and measured', tableHtml(table, 'Planned and measured'));
}

function factsTables(record: ProfileRecord): readonly Html[] {
  const shown = facts(record).filter(({ entries }) => entries.length > 0);
  return shown.map(({ title, entries }) => {
    const rows = entries.map(([name, value]) => html`<tr><th scope="row">${name}</th><td>${value}</td></tr>`);
    return html`<table class="facts"><caption>${title}</caption><tbody>${rows}</tbody></table>`;
  });
}

const footer = ({ startedAt, version }: ProfileRecord): Html =>
  html`<footer><p>Started ${startedAt}. Record version ${version}. 1 MiB is 1,048,576 bytes.</p></footer>`;
