/** @file What a plan promised, as a profile shows it. */
import type { Plan, PlannedBuffer, PlannedStep } from '../../runtime/plan/plan.ts';
import type { PlannedRun } from './record.ts';

/** Memory of one or more buffers that take turns in it. */
interface Storage {
  readonly buffers: readonly [PlannedBuffer, ...PlannedBuffer[]];
  readonly bytes: number;
  readonly from: number;
  readonly to: number;
}

export function plannedRun(plan: Plan): PlannedRun {
  const { model, scheme, batch, microBatch, threads, budgetBytes, totalBytes, bytes, peakBytes, blocks } = plan;
  const storages = storagesOf(plan.buffers);
  const peak = fullestStep(storages, plan.steps.length);
  return {
    model: model.name,
    scheme: `${scheme.name} ${scheme.blocks}`,
    batch,
    microBatch,
    threads,
    // JSON knows no infinity; a plan without a cap has the largest of numbers.
    budgetBytes: Number.isFinite(budgetBytes) ? budgetBytes : Number.MAX_SAFE_INTEGER,
    totalBytes,
    bytes,
    arenaBytes: peakBytes,
    blocks: blocks.map(({ name, storedBytes }) => ({ name, storedBytes })),
    atPeak: aliveAt(storages, plan, peak),
    peakStep: stepName(plan, peak),
  };
}

function storagesOf(buffers: readonly PlannedBuffer[]): Storage[] {
  const groups = new Map<string, [PlannedBuffer, ...PlannedBuffer[]]>();
  for (const buffer of buffers) {
    const others = groups.get(buffer.storage);
    if (others) others.push(buffer);
    else groups.set(buffer.storage, [buffer]);
  }
  return [...groups.values()].map((members) => {
    // Pinned buffers are alive throughout.
    const alive = members.map((member) => member.alive ?? ([0, Number.POSITIVE_INFINITY] as const));
    return {
      buffers: members,
      bytes: Math.max(...members.map((member) => member.bytes)),
      from: Math.min(...alive.map(([from]) => from)),
      to: Math.max(...alive.map(([, to]) => to)),
    };
  });
}

/** Index of the step during which most bytes are in use, the first of several. */
function fullestStep(storages: readonly Storage[], steps: number): number {
  const used = Array.from({ length: Math.max(1, steps) }, (_, step) =>
    storages.reduce((sum, { bytes, from, to }) => (from <= step && step <= to ? sum + bytes : sum), 0),
  );
  return used.indexOf(Math.max(...used));
}

/** Each storage once, under the name of the buffer that was the last to be used in it. */
function aliveAt(storages: readonly Storage[], plan: Plan, step: number): PlannedRun['atPeak'] {
  const used = new Set(plan.steps.slice(0, step + 1).flatMap(operands));
  return storages
    .filter(({ bytes, from, to }) => bytes > 0 && from <= step && step <= to)
    .map(({ buffers: [first, ...others], bytes }) => {
      const { name, category } = others.findLast((buffer) => used.has(buffer.name)) ?? first;
      return { name, category, bytes };
    })
    .sort((a, b) => b.bytes - a.bytes || a.name.localeCompare(b.name, 'en'));
}

function operands({ inputs, output, saved, dOutput, dInputs }: PlannedStep): readonly (string | null)[] {
  return [...inputs, output, ...Object.values(saved), dOutput, ...dInputs];
}

function stepName({ steps }: Plan, index: number): string {
  const step = steps[index];
  return step === undefined ? '' : [step.pass, step.op, step.node].filter(Boolean).join(' ');
}
