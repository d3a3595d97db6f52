/**
 * @file When each value is alive, and which values share one storage.
 *
 * Step 0 is the frozen prefix, which writes the cut; then come the training graph's steps in order. Times are inclusive.
 */
import type { Workspace } from '../../kernels/kernel.ts';
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
    if (!first.has(value)) first.set(value, time);
    last.set(value, time);
  };
  for (const value of [training.cut, training.labels, training.seed]) touch(value, 0);
  training.steps.forEach((step, index) => {
    const operands = [...step.inputs, step.output, step.dOutput, ...step.dInputs, ...Object.values(step.saved)];
    for (const operand of operands) touch(operand, index + 1);
  });

  const storageOf = shareInPlace(training, last);
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
    };
  });
  return [...storages, ...workspaces(training, options)].sort((a, b) => a.from - b.from);
}

export const workspaceName = (step: number): string => `workspace ${step}`;
/** One image as pixels come, and the images as the prefix reads them. */
export const PIXELS = 'pixels';
export const PREFIX_IMAGES = 'prefix images';

function workspaces(training: TrainingGraph, { imageElements, prefixBatch }: LifetimeOptions): Storage[] {
  const scratch = training.steps.flatMap(({ workspace }, index) =>
    workspace === 0 ? [] : [scratchStorage(workspaceName(index + 1), workspace, index + 1)],
  );
  const pixels = scratchStorage(PIXELS, imageElements, 0);
  const images = scratchStorage(PREFIX_IMAGES, 4 * imageElements * prefixBatch, 0);
  return training.prefix.length > 0 ? [pixels, images, ...scratch] : [pixels, ...scratch];
}

function scratchStorage(name: string, workspace: Workspace, time: number): Storage {
  return { values: [name], bytesPerImage: 0, workspace, from: time, to: time, savedBy: null };
}

/** Lets an output take its input's memory where the kernel allows it and nobody reads the input later. */
function shareInPlace(training: TrainingGraph, last: ReadonlyMap<string, number>): (value: string) => string {
  const parent = new Map<string, string>();
  const root = (value: string): string => {
    const up = parent.get(value);
    return up === undefined ? value : root(up);
  };
  training.steps.forEach(({ inPlace, inputs, dOutput }, index) => {
    if (!inPlace || last.get(inPlace.from) !== index + 1) return;
    const sizes = [inPlace.from, inPlace.to].map((name) => training.values.get(name)?.bytesPerImage);
    // Read twice by this very step (x + x) or in a role of its own: leave it alone.
    const reads = [...inputs, dOutput].filter((operand) => operand === inPlace.from).length;
    if (sizes[0] === sizes[1] && reads === 1) parent.set(inPlace.to, inPlace.from);
  });
  return root;
}
