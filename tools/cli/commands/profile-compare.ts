/** @file `edgeshift profile compare`: two recorded runs side by side, as a table and as an HTML file. */
import type { Command } from 'commander';
import type { Flags } from '../flags.ts';
import { reportError } from '../report-error.ts';

/** Adds the command; what it needs is loaded when it is called. */
export function addCompare(profile: Command): Command {
  return profile
    .command('compare <a> <b>')
    .description('show two recorded runs side by side')
    .option('--out <file>', 'HTML file to write', 'comparison.html')
    .option('--json', 'print the figures as JSON')
    .action(async (a: string, b: string, _: Flags, command: Command) => {
      // `profile` has options of the same names and may have taken them.
      const flags: Flags = command.optsWithGlobals();
      try {
        process.exitCode = await compare(a, b, flags);
      } catch (error) {
        process.exitCode = reportError(error, flags.json === true);
      }
    });
}

async function compare(a: string, b: string, flags: Flags): Promise<number> {
  const { readRecord } = await import('../../profiler/record-schema.ts');
  const [one, other] = [await readRecord(a), await readRecord(b)];
  const { comparedFigures, comparisonTable, writeComparison } = await import('../../profiler/report/comparison.ts');
  const out = String(flags.out);
  await writeComparison(one, other, out);
  if (flags.json === true) {
    console.log(JSON.stringify({ a, b, figures: comparedFigures(one, other), out }));
    return 0;
  }
  const { textTable } = await import('../text-table.ts');
  const { head, rows } = comparisonTable(one, other);
  process.stdout.write(textTable([head, ...rows], [1, 2, 3]));
  console.error(`wrote ${out}`);
  return 0;
}
