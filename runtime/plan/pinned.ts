/** @file What lies on the arena from the first step to the last. */
import { elements, type Graph, type Node, parameterOf } from '../graph/graph.ts';
import type { ParameterGroup, Scheme } from '../scheme/options.ts';
import { ALIGNMENT, align } from './layout.ts';
import {
  type BufferCategory,
  gradientBuffer,
  type OptimizerName,
  optimizerStates,
  type ParameterSpan,
  type PlannedBuffer,
  stateBuffer,
} from './plan.ts';

export interface PinnedBuffers {
  readonly buffers: readonly PlannedBuffer[];
  readonly spans: readonly ParameterSpan[];
  readonly end: number;
  readonly bytes: Readonly<Record<PinnedCategory, number>>;
}

type PinnedCategory = 'frozenWeights' | 'trainableWeights' | 'gradients' | 'optimizer';

/**
 * Frozen parameters of the suffix and running statistics, then for each group: parameters, gradients, states, each in the
 * same order.
 */
export function pinBuffers(
  graph: Graph,
  scheme: Scheme,
  suffix: readonly Node[],
  optimizer: OptimizerName,
): PinnedBuffers {
  const used = new Set(suffix.flatMap(({ parameters }) => Object.values(parameters)));
  const buffers: PlannedBuffer[] = [];
  // Byte 0 is never given away, so that a zero offset can stand for "absent" in a kernel's arguments.
  let end = ALIGNMENT;
  const place = (name: string, parameter: string, category: BufferCategory): void => {
    const bytes = 4 * elements(parameterOf(graph, parameter).shape);
    buffers.push({ name, offset: align(end), bytes, bytesPerImage: 0, category, alive: null, storage: name });
    end = align(end) + bytes;
  };
  for (const name of used) {
    const group = scheme.trains.get(name);
    if (group === undefined) place(name, name, 'frozenWeights');
    if (group === 'statistics') place(name, name, 'statistics');
  }
  const spans: ParameterSpan[] = [];
  const groups: Exclude<ParameterGroup, 'statistics'>[] = ['weights', 'norms', 'head'];
  for (const group of groups) {
    const names = [...scheme.trains].filter(([, of]) => of === group).map(([name]) => name);
    if (names.length === 0) continue;
    const run = (category: BufferCategory, rename: (name: string) => string): number => {
      const from = align(end);
      for (const name of names) place(rename(name), name, category);
      return from;
    };
    const parameters = run('trainableWeights', (name) => name);
    const bytes = end - parameters;
    const gradients = run('gradients', gradientBuffer);
    const states = Array.from({ length: optimizerStates[optimizer] }, (_, state) =>
      run('optimizer', (name) => stateBuffer(name, state)),
    );
    spans.push({ group, bytes, parameters, gradients, states });
  }
  const count = (...categories: BufferCategory[]): number =>
    buffers.filter(({ category }) => categories.includes(category)).reduce((sum, { bytes }) => sum + bytes, 0);
  return {
    buffers,
    spans,
    end,
    bytes: {
      frozenWeights: count('frozenWeights'),
      trainableWeights: count('trainableWeights', 'statistics'),
      gradients: count('gradients'),
      optimizer: count('optimizer'),
    },
  };
}
