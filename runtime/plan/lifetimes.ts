/**
 * @file When each value is alive, and which values share one storage.
 *
 * Step 0 is the frozen prefix, which writes the cut; then come the training graph's steps in order. Times are inclusive.
 */
import type { Workspace } from '../../kernels/kernel.ts';
import { sliceRuns } from '../autodiff/slices.ts';
import type { TrainingGraph, Value } from '../autodiff/training-graph.ts';

/** Memory that one or more values take in turn, such as the output that replaces its input in place. */
export interface Storage {
  /** Values in the order they are written; the first names the storage. */
  readonly values: readonly string[];
  /** Of a value; 0 for scratch memory. */
  readonly bytesPerImage: number;
  /** Of one step; 0 for values. */
  readonly workspace: Workspace;
  readonly from: number;
  readonly to: number;
  /** Outlives the forward pass for some node's backward. */
  readonly savedBy: string | null;
  /** Holds a slice of the images (autodiff/slices.ts). */
  readonly sliced: boolean;
}

export interface LifetimeOptions {
  /** Values of one image, channels and all. */
  readonly imageElements: number;
  /** Images the prefix takes at a time. */
  readonly prefixBatch: number;
}

/** Storages of a training graph, workspaces among them, in order of first use. */
export function lifetimes(training: TrainingGraph, options: LifetimeOptions): readonly Storage[] {
  const first = new Map<string, number>();
  const last = new Map<string, number>();
  const touch = (value: string | null, time: number): void => {
    if (value === null) return;
    first.set(value, Math.min(time, first.get(value) ?? time));
    last.set(value, Math.max(time, last.get(value) ?? time));
  };
  touch(training.cut, 0);
  if (training.loss !== null) for (const value of [training.labels, training.seed]) touch(value, 0);
  // Without a loss the gradient of the logits comes after the forward pass, and with it those of local losses.
  const backward = training.steps.findIndex(({ pass }) => pass !== 'forward' && pass !== 'compress');
  for (const { seed } of training.local) touch(seed, backward + 1);
  training.steps.forEach((step, index) => {
    const operands = [...step.inputs, step.output, step.dOutput, ...step.dInputs, ...Object.values(step.saved)];
    for (const operand of operands) touch(operand, index + 1);
  });

  const inSlices = new Set(
    sliceRuns(training.steps).flatMap(([from, to]) => spanSlices(training, [from + 1, to + 1], { first, last, touch })),
  );
  const storageOf = shareInPlace(training, last, inSlices);
  const groups = new Map<string, Value[]>();
  for (const value of training.values.values()) {
    if (!first.has(value.name)) continue;
    const key = storageOf(value.name);
    groups.set(key, [...(groups.get(key) ?? []), value]);
  }
  const storages = [...groups.values()].map((values): Storage => {
    const names = values.map(({ name }) => name);
    return {
      values: names,
      bytesPerImage: Math.max(...values.map(({ bytesPerImage }) => bytesPerImage)),
      workspace: 0,
      from: Math.min(...names.map((name) => first.get(name) ?? 0)),
      to: Math.max(...names.map((name) => last.get(name) ?? 0)),
      savedBy: values.find(({ savedBy }) => savedBy !== undefined)?.savedBy ?? null,
      sliced: names.some((name) => inSlices.has(name)),
    };
  });
  return [...storages, ...workspaces(training, options)].sort((a, b) => a.from - b.from);
}

interface Touches {
  readonly first: ReadonlyMap<string, number>;
  readonly last: ReadonlyMap<string, number>;
  touch(value: string, time: number): void;
}

/**
 * Values that live inside a run of sliced steps alone. The others that it touches are alive throughout: it begins anew with each
 * slice.
 */
function spanSlices({ values, logits }: TrainingGraph, [from, to]: readonly [number, number], all: Touches): string[] {
  const alive = [...values.values()].filter(({ name }) => {
    const [first, last] = [all.first.get(name), all.last.get(name)];
    return first !== undefined && last !== undefined && first <= to && last >= from;
  });
  const isInside = ({ name, savedBy }: Value): boolean =>
    (all.first.get(name) ?? 0) >= from && (all.last.get(name) ?? 0) <= to && name !== logits && savedBy === undefined;
  for (const value of alive) if (!isInside(value)) for (const time of [from, to]) all.touch(value.name, time);
  return alive.filter(isInside).map(({ name }) => name);
}

export const workspaceName = (step: number): string => `workspace ${step}`;
/** One image as pixels come, and the images as the prefix reads them. */
export const PIXELS = 'pixels';
export const PREFIX_IMAGES = 'prefix images';

function workspaces(training: TrainingGraph, { imageElements, prefixBatch }: LifetimeOptions): Storage[] {
  const scratch = training.steps.flatMap(({ workspace, sliced }, index) =>
    workspace === 0 ? [] : [scratchStorage(workspaceName(index + 1), workspace, index + 1, sliced)],
  );
  const pixels = scratchStorage(PIXELS, imageElements, 0);
  const images = scratchStorage(PREFIX_IMAGES, 4 * imageElements * prefixBatch, 0);
  return training.prefix.length > 0 ? [pixels, images, ...scratch] : [pixels, ...scratch];
}

function scratchStorage(name: string, workspace: Workspace, time: number, sliced = false): Storage {
  return { values: [name], bytesPerImage: 0, workspace, from: time, to: time, savedBy: null, sliced };
}

/** Lets an output take its input's memory where the kernel allows it and nobody reads the input later. */
function shareInPlace(
  training: TrainingGraph,
  last: ReadonlyMap<string, number>,
  inSlices: ReadonlySet<string>,
): (value: string) => string {
  const parent = new Map<string, string>();
  const root = (value: string): string => {
    const up = parent.get(value);
    return up === undefined ? value : root(up);
  };
  training.steps.forEach(({ inPlace, inputs, dOutput }, index) => {
    if (!inPlace || last.get(inPlace.from) !== index + 1) return;
    if (inSlices.has(inPlace.from) !== inSlices.has(inPlace.to)) return;
    const sizes = [inPlace.from, inPlace.to].map((name) => training.values.get(name)?.bytesPerImage);
    // Read twice by this very step (x + x) or in a role of its own: leave it alone.
    const reads = [...inputs, dOutput].filter((operand) => operand === inPlace.from).length;
    if (sizes[0] === sizes[1] && reads === 1) parent.set(inPlace.to, inPlace.from);
  });
  return root;
}
