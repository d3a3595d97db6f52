/** @file Where a step's time goes, and each part as a share of its roofline: arithmetic on what was measured. */
import type { EngineMillis } from '../../runtime/engine/engine.ts';
import type { Plan, PlannedStep } from '../../runtime/plan/plan.ts';
import { prefixFlops, updateBytes } from '../profiler/traffic.ts';
import { type Convolution, type Product, productFlops, stepWork } from './traffic.ts';

/** Measured in the same run. */
export interface Rates {
  /** Operations a second of onnxruntime's MatMul on a shape. */
  readonly product: (product: Product) => number;
  /** The same of its Conv. */
  readonly convolution: (convolution: Convolution) => number;
  /** Bytes read and written a second by a copy that moves so many of them. */
  readonly copy: (bytes: number) => number;
  /** The best that any of the products reaches, and a copy that no cache holds. */
  readonly gemmFlopsPerSecond: number;
  readonly memoryBytesPerSecond: number;
}

/**
 * What a stage is held against: `product`: onnxruntime's MatMul on the same shapes; `conv`: its Conv forward on the same shape,
 * once for y and once for each gradient; `memory`: a copy of as many bytes; `arithmetic`: both, whichever takes longer, where
 * there are more than MEMORY_BOUND operations a byte.
 */
export type Bound = 'product' | 'conv' | 'memory' | 'arithmetic';

export interface Stage {
  readonly name: string;
  readonly shape: string;
  readonly bound: Bound;
  /** Executions of the planner's steps behind it. */
  readonly count: number;
  /** Of one training step. */
  readonly millis: number;
  readonly flops: number;
  readonly bytes: number;
  /** Time at the measured rates. */
  readonly roofMillis: number;
  /** Time of copying as many bytes where no cache holds them. */
  readonly memoryMillis: number;
}

/**
 * Operations a byte below which a SIMD kernel waits for memory and not for its own arithmetic: a thread copies some 20 GB/s and
 * does some 20 GFLOP/s with four lanes and no fused multiply-add.
 */
const MEMORY_BOUND = 1;

/** Names of the stages that are no planned step. */
export const PREFIX = 'prefix';
export const OPTIMIZER = 'optimizer';

/** The stages of one training step, each planned step by itself, in the plan's order. */
export function stagesOf(plan: Plan, millis: EngineMillis, rates: Rates): Stage[] {
  const passes = Math.ceil(plan.batch / plan.microBatch);
  const steps = plan.steps.flatMap((step, index) =>
    step.pass === 'prefix' ? [] : [suffixStage(plan, step, passes, millis.steps[index] ?? 0, rates)],
  );
  const flops = prefixFlops(plan);
  const update = updateBytes(plan);
  const roof = (bytes: number): Pick<Stage, 'bytes' | 'memoryMillis'> => ({
    bytes,
    memoryMillis: (1000 * bytes) / rates.memoryBytesPerSecond,
  });
  return [
    {
      ...{ name: PREFIX, shape: `[${plan.steps[0]?.shapes.output ?? ''}]`, bound: 'arithmetic', count: plan.batch },
      ...{ millis: millis.prefix, flops, roofMillis: (1000 * flops) / rates.gemmFlopsPerSecond },
      ...roof(0),
    },
    ...steps,
    {
      ...{ name: OPTIMIZER, shape: `${plan.trainableParameters}`, bound: 'memory', count: plan.spans.length },
      ...{ millis: millis.optimizer, flops: 0, roofMillis: (1000 * update) / rates.copy(update) },
      ...roof(update),
    },
  ];
}

function suffixStage(plan: Plan, step: PlannedStep, passes: number, millis: number, rates: Rates): Stage {
  const { flops, bytes, products, convolution } = stepWork(plan, step, plan.microBatch);
  const bound =
    products.length > 0 ? 'product' : convolution ? 'conv' : flops < MEMORY_BOUND * bytes ? 'memory' : 'arithmetic';
  const copySeconds = bytes / rates.copy(bytes);
  const seconds = {
    product: () => products.reduce((sum, product) => sum + productFlops(product) / rates.product(product), 0),
    conv: () => (convolution ? flops / rates.convolution(convolution) : 0),
    memory: () => copySeconds,
    arithmetic: () => Math.max(copySeconds, flops / rates.gemmFlopsPerSecond),
  }[bound]();
  return {
    name: `${step.op} ${step.pass}`,
    shape: shapeText(step),
    bound,
    count: passes,
    millis,
    flops: passes * flops,
    bytes: passes * bytes,
    roofMillis: 1000 * passes * seconds,
    memoryMillis: (1000 * passes * bytes) / rates.memoryBytesPerSecond,
  };
}

function shapeText({ shapes }: PlannedStep): string {
  const weight = shapes.parameters.weight;
  return `[${shapes.inputs[0] ?? ''}]${weight ? ` w [${weight}]` : ''}`;
}

/** Stages with one key together, longest first; a group of several bounds has that of its longest member. */
export function grouped(stages: readonly Stage[], key: (stage: Stage) => string): Stage[] {
  const groups = new Map<string, Stage[]>();
  for (const stage of stages) groups.set(key(stage), [...(groups.get(key(stage)) ?? []), stage]);
  const sum = (members: readonly Stage[], of: (stage: Stage) => number): number =>
    members.reduce((total, stage) => total + of(stage), 0);
  return [...groups]
    .map(([name, members]): Stage => {
      const longest = members.reduce((most, stage) => (stage.millis > most.millis ? stage : most));
      return {
        name,
        shape: longest.shape,
        bound: longest.bound,
        count: sum(members, ({ count }) => count),
        millis: sum(members, ({ millis }) => millis),
        flops: sum(members, ({ flops }) => flops),
        bytes: sum(members, ({ bytes }) => bytes),
        roofMillis: sum(members, ({ roofMillis }) => roofMillis),
        memoryMillis: sum(members, ({ memoryMillis }) => memoryMillis),
      };
    })
    .toSorted((a, b) => b.millis - a.millis);
}

/** How much of their roofline stages reach together; null if there are none. */
export function roofShare(stages: readonly Stage[]): number | null {
  const millis = stages.reduce((sum, stage) => sum + stage.millis, 0);
  return millis > 0 ? stages.reduce((sum, { roofMillis }) => sum + roofMillis, 0) / millis : null;
}

/** How far times are from a straight line over the batch. */
export interface Linearity {
  /** Milliseconds of a step without images, and of each image. */
  readonly fixedMillis: number;
  readonly imageMillis: number;
  /** Largest distance from the line, as a share of the line's value. */
  readonly deviation: number;
  /** Time of an image in the smallest batch over that in the largest. */
  readonly smallestToLargest: number;
}

/**
 * Fits millis = fixed + image * batch with equal relative errors (weights 1 / millis^2).
 * @param points two batches or more
 */
export function linearity(points: readonly { readonly batch: number; readonly millis: number }[]): Linearity {
  let [w, wx, wy, wxx, wxy] = [0, 0, 0, 0, 0];
  for (const { batch, millis } of points) {
    const weight = 1 / millis ** 2;
    w += weight;
    wx += weight * batch;
    wy += weight * millis;
    wxx += weight * batch ** 2;
    wxy += weight * batch * millis;
  }
  const imageMillis = (w * wxy - wx * wy) / (w * wxx - wx ** 2);
  const fixedMillis = (wy - imageMillis * wx) / w;
  const distances = points.map(({ batch, millis }) => Math.abs(millis / (fixedMillis + imageMillis * batch) - 1));
  const sorted = points.toSorted((a, b) => a.batch - b.batch).map(({ batch, millis }) => millis / batch);
  const [smallest = Number.NaN, largest = Number.NaN] = [sorted.at(0), sorted.at(-1)];
  return { fixedMillis, imageMillis, deviation: Math.max(...distances), smallestToLargest: smallest / largest };
}
