/** @file Two profiled runs side by side as one HTML file, and the figures in which they are compared. */
import { writeAtomically } from '../../../runtime/delta/atomic-file.ts';
import type { ProfileRecord } from '../record.ts';
import { facts } from './facts.ts';
import { type Figure, type Table, tableHtml } from './figure.ts';
import { headline } from './headline.ts';
import { type Html, html } from './html.ts';
import { type MainFigure, mainFigures } from './main-figures.ts';
import { type Extent, memoryExtent, memoryFigure } from './memory.ts';
import { pageHtml } from './page.ts';
import { blockPairs, categoryPairs, opPairs } from './pair-figures.ts';
import { changeText, UNKNOWN } from './quantities.ts';
import { chartsOf, commandLine, figureSection, section, sentenceList } from './sections.ts';

export function comparisonHtml(a: ProfileRecord, b: ProfileRecord): string {
  const memory = memoryFigures(a, b);
  const note = sharesTime(a, b) ? null : 'The axes of memory are alike, those of time are not.';
  const bars = [categoryPairs(a, b), opPairs(a, b), blockPairs(a, b)];
  const missing = [...a.missing.map((text) => `A: ${text}`), ...b.missing.map((text) => `B: ${text}`)];
  const body = html`<header>
<h1>Two runs side by side</h1>
<div class="grid two">${runSummary('A', a)}${runSummary('B', b)}</div>
</header>
<main>
${section('Figures', tableHtml(comparisonTable(a, b), 'Figures of both runs'))}
${figureSection('Memory over time', memory, 'two', note)}
${figureSection('Plan and time', bars, 'two')}
${section('Run, limit and machine', html`${factsTables(a, b)}`)}
${missing.length === 0 ? null : section('What this page does not say', sentenceList(missing))}
</main>
<footer><p>A started ${a.startedAt}, B ${b.startedAt}. 1 MiB is 1,048,576 bytes.</p></footer>`;
  return pageHtml({ title: 'Two profiled runs', body, charts: chartsOf([...memory, ...bars]) });
}

/** Writes the comparison, whole or not at all. @throws DataError if it cannot be written */
export async function writeComparison(a: ProfileRecord, b: ProfileRecord, path: string): Promise<void> {
  await writeAtomically(path, [Buffer.from(comparisonHtml(a, b), 'utf8')]);
}

export interface ComparedFigure {
  readonly key: string;
  readonly label: string;
  /** Null: not known. */
  readonly a: number | null;
  readonly b: number | null;
}

/** The main figures that at least one of the runs has. */
export function comparedFigures(a: ProfileRecord, b: ProfileRecord): readonly ComparedFigure[] {
  return zipped(a, b).map(([{ key, label, value }, other]) => ({ key, label, a: value, b: other.value }));
}

/** The same as a table; the change is from A to B. */
export function comparisonTable(a: ProfileRecord, b: ProfileRecord): Table {
  const rows = zipped(a, b).map(([one, other]) => [
    one.label,
    one.text(one.value),
    other.text(other.value),
    changeText(one.value, other.value),
  ]);
  return { head: ['Figure', 'A', 'B', 'B against A'], rows, words: 1 };
}

function zipped(a: ProfileRecord, b: ProfileRecord): readonly (readonly [MainFigure, MainFigure])[] {
  const others = mainFigures(b);
  return mainFigures(a)
    .map((figure, at) => [figure, others[at] as MainFigure] as const)
    .filter((pair) => pair.some(({ value }) => value !== null));
}

function runSummary(name: string, record: ProfileRecord): Html {
  const { tone, title, sentences } = headline(record);
  return html`<div class="run"><h2 class="${tone}">${name}: ${title}</h2>
${commandLine(record)}
${sentences.map((sentence) => html`<p>${sentence}</p>`)}</div>`;
}

/** A run that takes this much longer than the other would leave that one no room on the same axis. */
const LONGEST = 4;

function sharesTime(a: ProfileRecord, b: ProfileRecord): boolean {
  const [one, other] = [memoryExtent(a).seconds, memoryExtent(b).seconds];
  return Math.max(one, other) <= LONGEST * Math.min(one, other);
}

/** On the same axis of memory, and of time where that leaves both room. */
function memoryFigures(a: ProfileRecord, b: ProfileRecord): readonly (Figure | null)[] {
  const [one, other] = [memoryExtent(a), memoryExtent(b)];
  const seconds = Math.max(one.seconds, other.seconds);
  const bytes = Math.max(one.bytes, other.bytes);
  const extent = (own: Extent): Extent => ({ bytes, seconds: sharesTime(a, b) ? seconds : own.seconds });
  return [
    memoryFigure(a, 'memory-a', 'A: memory against cap and plan', extent(one)),
    memoryFigure(b, 'memory-b', 'B: memory against cap and plan', extent(other)),
  ];
}

/** Every fact of both; a row says where they differ. */
function factsTables(a: ProfileRecord, b: ProfileRecord): readonly Html[] {
  const others = facts(b);
  return facts(a).flatMap(({ title, entries }, at) => {
    const [ofA, ofB] = [new Map(entries), new Map(others[at]?.entries ?? [])];
    const names = [...new Set([...ofA.keys(), ...ofB.keys()])];
    if (names.length === 0) return [];
    const rows = names.map((name) => factsRow(name, ofA.get(name) ?? UNKNOWN, ofB.get(name) ?? UNKNOWN));
    return html`<table class="facts"><caption>${title}</caption>
<thead><tr><td></td><th scope="col">A</th><th scope="col">B</th></tr></thead><tbody>${rows}</tbody></table>`;
  });
}

function factsRow(name: string, a: string, b: string): Html {
  if (a === b) return html`<tr><th scope="row">${name}</th><td>${a}</td><td>${b}</td></tr>`;
  return html`<tr class="differs"><th scope="row">${name} <small>differs</small></th><td>${a}</td><td>${b}</td></tr>`;
}
