/**
 * @file `npm run networks [-- name-part ...]`: puts every network through everything and writes the table into
 * models/README.md. Ends with code 1 if a network fails; the table is written only if all were asked for.
 */
import { readFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import { networkNames } from '../../models/networks/networks.ts';
import { writeAtomically } from '../../runtime/delta/atomic-file.ts';
import { schemeNames } from '../../runtime/scheme/names.ts';
import { type Survey, survey } from './survey.ts';
import { BARS, holds, networkTable, withTable } from './table.ts';

const wanted = process.argv.slice(2);
const readme = fileURLToPath(new URL('../../../models/README.md', import.meta.url));

const names = (await networkNames()).filter(
  (name) => wanted.length === 0 || wanted.some((part) => name.includes(part)),
);
const surveys: Survey[] = [];
let failed = 0;
for (const name of names) {
  const started = performance.now();
  try {
    const found = await survey(name);
    surveys.push(found);
    if (!holds(found)) failed++;
    const { difference, exported, schemes } = found;
    console.log(
      `${holds(found) ? 'ok    ' : 'FAILED'} ${name}: ${schemes.length} of ${schemeNames.length} schemes, ` +
        `worst gradient ${difference.gradient.toExponential(1)} (${difference.worst}), logits ${difference.logits.toExponential(1)}, ` +
        `exported ${exported.toExponential(1)}, ${((performance.now() - started) / 1000).toFixed(1)} s`,
    );
  } catch (error) {
    failed++;
    console.log(`FAILED ${name}: ${error instanceof Error ? error.message : error}`);
  }
}
console.log(
  `${surveys.length} networks, ${failed} failed; bars: gradients ${BARS.gradient}, logits and export ${BARS.logits}`,
);
if (wanted.length === 0 && failed === 0) {
  const text = withTable(await readFile(readme, 'utf8'), networkTable(surveys));
  await writeAtomically(readme, [new TextEncoder().encode(text)]);
  console.log('the table in models/README.md is current');
}
process.exitCode = failed > 0 ? 1 : 0;
