/** @file The optimizer's step on the arena. */
import { optimizerStates, type Plan } from '../../plan/plan.ts';
import type { Update } from '../engine.ts';
import type { Machine } from './operands.ts';

/** The optimizer zeroes each gradient that it has read. */
const CLEAR = 1;

/** Kingma and Ba 2015; PyTorch's defaults. */
const ADAM = { beta1: 0.9, beta2: 0.999, epsilon: 1e-8 } as const;

/** Updates every parameter span by span; gradients are zero afterwards. */
export function optimize(
  simd: Machine['simd'],
  { optimizer, spans }: Plan,
  { learningRate, momentum, weightDecay, step }: Update,
): void {
  for (const { group, bytes, parameters, gradients, states } of spans) {
    const rate = learningRate[group];
    const decay = group === 'norms' ? 0 : weightDecay;
    const [first = 0, second = 0] = states;
    if (optimizerStates[optimizer] === 1) {
      simd.sgd(parameters, gradients, first, bytes / 4, rate, momentum, decay, 0, CLEAR);
    } else {
      const corrections = [1 - ADAM.beta1 ** step, Math.sqrt(1 - ADAM.beta2 ** step)] as const;
      const { beta1, beta2, epsilon } = ADAM;
      const decoupled = optimizer === 'adamw' ? 1 : 0;
      simd.adam(
        parameters,
        gradients,
        first,
        second,
        bytes / 4,
        rate,
        beta1,
        beta2,
        epsilon,
        decay,
        ...corrections,
        decoupled,
        CLEAR,
      );
    }
  }
}
