/** @file `edgeshift plan`: what training will cost; exit code 3 if nothing fits. */
import { writeAtomically } from '../../../runtime/delta/atomic-file.ts';
import { UsageError } from '../../../runtime/errors.ts';
import { planReport } from '../../../runtime/plan/report.ts';
import { misfitText, nearestFit } from '../../../runtime/plan/search.ts';
import { resolveConfig } from '../../../runtime/train/options.ts';
import { prepareTraining } from '../../../runtime/train/prepare.ts';
import { type Flags, numberFlag, textFlag } from '../flags.ts';
import { planOptions } from '../plan-flags.ts';

export async function run([model = '']: readonly string[], flags: Flags): Promise<number> {
  const config = resolveConfig({ model, data: '', run: '', ...planOptions(flags) });
  const classes = numberFlag(flags, 'classes') ?? null;
  if (classes !== null && !(Number.isInteger(classes) && classes >= 2)) {
    throw new UsageError(`--classes must be a whole number from 2: ${classes}`);
  }
  const { plan, graph, request } = await prepareTraining(config, classes);
  const out = textFlag(flags, 'out');
  if (out !== undefined) await writeAtomically(out, [new TextEncoder().encode(`${JSON.stringify(plan, null, 1)}\n`)]);
  const misfit = plan.fits ? null : misfitText(plan, nearestFit(graph, request));
  if (flags.json === true) console.log(JSON.stringify(misfit === null ? plan : { ...plan, misfit }));
  else process.stdout.write(planReport(plan));
  if (misfit !== null) console.error(`edgeshift: ${misfit}`);
  return plan.fits ? 0 : 3;
}
