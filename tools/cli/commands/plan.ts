/** @file `edgeshift plan`: what training will cost; exit code 3 if nothing fits. */
import { listProfiles } from '../../../device-profiles/profiles.ts';
import { rooflineRates } from '../../../device-profiles/rates.ts';
import { writeAtomically } from '../../../runtime/delta/atomic-file.ts';
import { UsageError } from '../../../runtime/errors.ts';
import { frontier } from '../../../runtime/plan/frontier.ts';
import type { Plan } from '../../../runtime/plan/plan.ts';
import { planReport } from '../../../runtime/plan/report.ts';
import { misfitText, nearestFit, planTraining, requireCandidate } from '../../../runtime/plan/search.ts';
import { tinyTlBytes } from '../../../runtime/plan/tinytl.ts';
import { resolveConfig } from '../../../runtime/train/options.ts';
import { type Opened, openForTraining, trainedNames } from '../../../runtime/train/prepare.ts';
import { choiceFlag, type Flags, numberFlag, textFlag } from '../flags.ts';
import { planOptions } from '../plan-flags.ts';
import { accountingText, type DevicePlan, devicesText, frontierText, tensorRows, tensorsText } from '../plan-text.ts';

const accountings = ['edgeshift', 'tinytl'] as const;

export async function run([model = '']: readonly string[], flags: Flags): Promise<number> {
  const config = resolveConfig({ model, data: '', run: '', ...planOptions(flags) });
  const classes = numberFlag(flags, 'classes') ?? null;
  if (classes !== null && !(Number.isInteger(classes) && classes >= 2)) {
    throw new UsageError(`--classes must be a whole number from 2: ${classes}`);
  }
  const accounting = choiceFlag(flags, 'accounting', accountings) ?? 'edgeshift';
  const forms = ['frontier', 'devices', 'tensors'].filter((form) => flags[form] === true);
  if (accounting === 'tinytl') forms.push('accounting tinytl');
  if (forms.length > 1)
    throw new UsageError(`plan prints one thing at a time: expected one of --${forms.join(', --')}`);
  const opened = await openForTraining(config, classes);
  const { graph, request } = opened;
  const out = textFlag(flags, 'out');
  const json = flags.json === true;
  if (flags.frontier === true || flags.devices === true) {
    // These make plans of their own: one for the request is searched only if it is to be written.
    if (out === undefined) requireCandidate(graph, request);
    else await writePlan(out, planTraining(graph, request));
    if (flags.frontier === true) return print(json, frontier(graph, request), frontierText);
    return print(json, await devicePlans(opened), devicesText);
  }
  const plan = planTraining(graph, request);
  if (out !== undefined) await writePlan(out, plan);
  if (flags.tensors === true) {
    return print(json, tensorRows(graph, plan), (rows) => tensorsText(graph, rows));
  }
  if (accounting === 'tinytl') {
    const counted = tinyTlBytes(graph, new Set(trainedNames(graph, plan)), plan.batch);
    return print(json, { ...counted, scheme: plan.scheme, batch: plan.batch }, (of) => accountingText(plan, of));
  }
  if (!json) process.stdout.write(planReport(plan));
  const misfit = plan.fits ? null : misfitText(plan, nearestFit(graph, request));
  if (json) console.log(JSON.stringify(misfit === null ? plan : { ...plan, misfit }));
  if (misfit !== null) console.error(`edgeshift: ${misfit}`);
  return plan.fits ? 0 : 3;
}

function writePlan(path: string, plan: Plan): Promise<void> {
  return writeAtomically(path, [new TextEncoder().encode(`${JSON.stringify(plan, null, 1)}\n`)]);
}

function print<T>(json: boolean, value: T, text: (value: T) => string): number {
  if (json) console.log(JSON.stringify(value));
  else process.stdout.write(text(value));
  return 0;
}

/** The plan for the cap and the rates of every profile that ships. */
async function devicePlans({ graph, request }: Opened): Promise<DevicePlan[]> {
  const profiles = await listProfiles();
  return profiles.map((profile) => ({
    profile,
    plan: planTraining(graph, {
      ...request,
      device: profile.name,
      budgetBytes: profile.limits.memoryBytes.value,
      threads: profile.limits.threads.value,
      rates: rooflineRates(profile),
    }),
  }));
}
