/** @file The page's script in one piece: compiled modules one after the other, each a function that gives what it exports. */
import { clientText } from '../profiler/report/page.ts';

/** In the order in which they need one another. What they import of others is types, or comes before them. */
const modules = [
  '../profiler/thinned.js',
  './history.js',
  './state.js',
  './charts.js',
  './figures.js',
  './client/line-chart.js',
  './client/lists.js',
  './client/view.js',
  './client/main.js',
];

/** One module without imports or exports. No two of its parts may export the same name. */
export function bundled(): string {
  return modules.map((file) => asFunction(clientText(new URL(file, import.meta.url).href))).join('\n');
}

const IMPORT = /^import\s[^;]*;$/gm;
const NO_EXPORT = /^export \{\};$/gm;
const EXPORT = /^export (?=(?:const|function|class) (\w+))/gm;

function asFunction(text: string): string {
  const names = [...text.matchAll(EXPORT)].map(([, name]) => name).join(', ');
  const body = text.replaceAll(IMPORT, '').replaceAll(NO_EXPORT, '').replaceAll(EXPORT, '');
  return `const { ${names} } = (() => {\n${body}\nreturn { ${names} };\n})();`;
}
