/** @file What the service's run takes on its board, planned as the run itself will plan. */
import { createHash } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import type { DeviceProfile } from '../../../device-profiles/schema.ts';
import type { Model } from '../../../models/onnx/open-model.ts';
import { BudgetError } from '../../../runtime/errors.ts';
import { processBaseBytes } from '../../../runtime/plan/accounting.ts';
import { budgetFacts } from '../../../runtime/plan/build.ts';
import type { Plan } from '../../../runtime/plan/plan.ts';
import { misfitText, nearestFit, planTraining } from '../../../runtime/plan/search.ts';
import { resolveConfig } from '../../../runtime/train/options.ts';
import { openForTraining } from '../../../runtime/train/prepare.ts';
import { sourceKind } from '../../cli/adapt-options.ts';
import { adaptRequest, planAdapt } from '../../cli/adapt-plan.ts';
import { collectFolder } from '../../cli/collect-flags.ts';
import { type Flags, listFlag } from '../../cli/flags.ts';
import { trainOptions } from '../../cli/plan-flags.ts';
import { canonical } from './manifest.ts';
import type { ServiceRun } from './parse-run.ts';

export interface PlannedService {
  readonly model: Model;
  readonly plan: Plan;
  /** What `model/plan.json` holds. */
  readonly written: object;
  /** Names the run's folder: changes with the model, the delta and everything that a saved state depends on. */
  readonly key: string;
}

export interface PlanRunOptions {
  readonly model: string;
  readonly delta: string | undefined;
  /** Null: planned for whatever it takes. */
  readonly profile: DeviceProfile | null;
  /** Path or name of the profile. */
  readonly device: string | undefined;
  /** Version of Node on the board. */
  readonly nodeVersion: string;
}

/** Beyond this many threads products do not get faster; as a run's own default (train/options.ts). */
const MAX_THREADS = 8;

/** Options of a run that it will have on its board, where it was not given others. */
export function boardFlags(flags: Flags, profile: DeviceProfile | null): Readonly<Record<string, string>> {
  if (profile === null) return {};
  const { memoryBytes, threads } = profile.limits;
  return {
    ...(flags.budget === undefined && { budget: String(memoryBytes.value) }),
    ...(flags.threads === undefined && { threads: String(Math.min(threads.value, MAX_THREADS)) }),
  };
}

/**
 * @throws BudgetError if it does not fit the device
 * @throws ModelError, DeltaError, UsageError, UnsupportedOpError as the run would
 */
export async function planRun({ command, flags }: ServiceRun, options: PlanRunOptions): Promise<PlannedService> {
  const { model, delta, profile, device } = options;
  const asked: Flags = {
    ...flags,
    ...boardFlags(flags, profile),
    ...{ device, delta },
  };
  if (command === 'train') return planTrain(model, asked, options);
  const { options: adapt } = adaptRequest(model, asked);
  const unlimited = profile === null && adapt.budgetBytes === undefined;
  const sides = await planAdapt(
    { ...adapt, ...{ nodeVersion: options.nodeVersion }, ...(unlimited && { budgetBytes: Number.POSITIVE_INFINITY }) },
    flags,
    sourceKind(flags),
  );
  const { adapter, predictor } = sides;
  return {
    model: adapter.model,
    plan: adapter.plan,
    written: { method: adapter.method, plan: adapter.plan, predictor: predictor?.plan ?? null },
    key: await keyOf(adapter.model, delta, adapt),
  };
}

async function planTrain(model: string, flags: Flags, options: PlanRunOptions): Promise<PlannedService> {
  const data = collectFolder(flags);
  const config = resolveConfig(trainOptions(model, data === null ? flags : { ...flags, data }, ''));
  const { profile, nodeVersion } = options;
  const opened = await openForTraining(config, listFlag(flags, 'classes')?.length ?? null);
  const request = {
    ...opened.request,
    baseBytes: processBaseBytes(nodeVersion, config.threads, config.products),
    ...(profile === null && config.budgetBytes === null && { budgetBytes: Number.POSITIVE_INFINITY }),
  };
  const plan = planTraining(opened.graph, request);
  if (!plan.fits) throw new BudgetError(misfitText(plan, nearestFit(opened.graph, request)), budgetFacts(plan));
  return { model: opened.model, plan, written: plan, key: await keyOf(opened.model, undefined, config) };
}

/** Memory, threads and where things lie change nothing of a state. */
const STATELESS = /^(model|delta|run|threads|device|products)$|Bytes$|Frames$/;

async function keyOf({ file }: Model, delta: string | undefined, options: object): Promise<string> {
  const state = Object.entries(options).filter(([name]) => !STATELESS.test(name));
  const learnt = delta === undefined ? null : sha256(await readFile(delta));
  return sha256(canonical({ model: file.sha256, learnt, options: Object.fromEntries(state) })).slice(0, 12);
}

const sha256 = (data: string | Uint8Array): string => createHash('sha256').update(data).digest('hex');
