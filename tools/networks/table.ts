/** @file The table of networks in models/README.md. */
import { schemeNames } from '../../runtime/scheme/names.ts';
import type { Survey } from './survey.ts';

/** What a network must keep to. */
export const BARS = { gradient: 1e-3, logits: 1e-3 } as const;

export function holds({ opaque, schemes, difference, exported }: Survey): boolean {
  return (
    opaque === 0 &&
    schemes.length === schemeNames.length &&
    difference.tensors > 0 &&
    difference.gradient <= BARS.gradient &&
    difference.loss <= BARS.logits &&
    difference.logits <= BARS.logits &&
    exported <= BARS.logits
  );
}

const START = '<!-- networks: written by `npm run networks` -->';
const END = '<!-- end of networks -->';

/** Rows in the order of the networks' names. */
export function networkTable(surveys: readonly Survey[]): string {
  const rows = surveys.map(({ name, nodes, blocks, parameters, schemes, difference, exported }) =>
    [
      name,
      nodes,
      blocks,
      `${(parameters / 1e6).toFixed(2)} M`,
      schemes.length === schemeNames.length ? 'all' : schemes.join(' '),
      difference.tensors,
      magnitude(difference.gradient),
      magnitude(exported),
    ].join(' | '),
  );
  return [
    '| network | nodes | blocks | parameters | schemes | tensors compared | worst gradient error | exported file |',
    '| --- | --- | --- | --- | --- | --- | --- | --- |',
    ...rows.map((row) => `| ${row} |`),
  ].join('\n');
}

/** The power of ten above it: the figure behind it changes from machine to machine. */
function magnitude(error: number): string {
  return error === 0 ? '0' : `< 1e${Math.floor(Math.log10(error)) + 1}`;
}

/** The text with the table between its marks; throws if they are missing. */
export function withTable(text: string, table: string): string {
  const [from, to] = [text.indexOf(START), text.indexOf(END)];
  if (from < 0 || to < from) throw new Error(`models/README.md lacks the lines ${START} and ${END}`);
  return `${text.slice(0, from + START.length)}\n${table}\n${text.slice(to)}`;
}
