/** @file The page around a report: one HTML file that needs nothing else and can load nothing else. */
import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import type { ChartData } from './chart-data.ts';
import { escaped, type Html } from './html.ts';
import { styleSheet } from './style.ts';

export interface Page {
  readonly title: string;
  readonly body: Html;
  /** By the id of their canvas. */
  readonly charts: Readonly<Record<string, ChartData>>;
}

/** What runs in the page besides Chart.js, in this order, as it was compiled. */
const clientFiles = ['./client-marks.js', './client.js'];

/** HTML text of the page with Chart.js, the drawing script, the style sheet and the charts' data in it. */
export function pageHtml({ title, body, charts }: Page): string {
  const [library, ...own] = [libraryText(), ...clientFiles.map(clientText)];
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="${policy([library, ...own])}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="referrer" content="no-referrer">
<title>${escaped(title)}</title>
<link rel="icon" href="data:,">
<style>${styleSheet}</style>
</head>
<body>
${body.markup}
<script type="application/json" id="charts">${jsonText(charts)}</script>
<script>${library}</script>
${own.map((text) => `<script type="module">${text}</script>`).join('\n')}
</body>
</html>
`;
}

/** Only the scripts and the style sheet of this file, by their hashes; no address of any kind, no forms, no frames. */
function policy(scripts: readonly string[]): string {
  return [
    "default-src 'none'",
    `script-src ${scripts.map(hashSource).join(' ')}`,
    `style-src ${hashSource(styleSheet)}`,
    'img-src data:',
    "base-uri 'none'",
    "form-action 'none'",
  ].join('; ');
}

/** Source expression of a Content-Security-Policy. */
export const hashSource = (text: string): string =>
  `'sha256-${createHash('sha256').update(text, 'utf8').digest('base64')}'`;

/** JSON that can end no element: it holds no `<`. */
const jsonText = (value: unknown): string => JSON.stringify(value).replaceAll('<', '\\u003c');

/** Chart.js as one script. Its package names the ES module only; the script lies beside it. */
export function libraryText(): string {
  const file = new URL('./chart.umd.js', import.meta.resolve('chart.js'));
  return scriptText(readFileSync(fileURLToPath(file), 'utf8').replace(/\n?\/\/# sourceMappingURL=\S*\s*$/, ''));
}

/** A compiled script. @param file beside this one, or a whole URL */
export const clientText = (file: string): string => scriptText(readFileSync(new URL(file, import.meta.url), 'utf8'));

/** A script as an element's content: what would end the element, or hide its end, only stands in strings and comments. */
function scriptText(text: string): string {
  return text.replaceAll('</script', '<\\/script').replaceAll('<!--', '<\\!--').replaceAll('\r', '');
}
