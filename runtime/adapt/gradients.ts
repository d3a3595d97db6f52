/** @file Gradients of what trains, between a backward pass and the optimizer's step. */
import { gradientBuffer } from '../plan/plan.ts';
import type { Learner, Values } from './learner.ts';

export function readGradient(learner: Learner, name: string): Promise<Float32Array> {
  return learner.engine.read(gradientBuffer(name));
}

/** Forgets them, as a step would, without a step. */
export async function clearGradients(learner: Learner): Promise<void> {
  for (const name of learner.trained) {
    await learner.engine.write(gradientBuffer(name), new Float32Array(learner.deployed.get(name)?.length ?? 0));
  }
}

/** Adds the gradient of strength * sum_i weights_i (theta_i - deployed_i)^2. */
export async function addAnchor(learner: Learner, weights: Values, strength: number): Promise<void> {
  for (const [name, weight] of weights) {
    const deployed = learner.deployed.get(name) ?? new Float32Array();
    const values = await learner.engine.read(name);
    const gradient = await readGradient(learner, name);
    for (let i = 0; i < gradient.length; i++) {
      const distance = (values[i] ?? 0) - (deployed[i] ?? 0);
      gradient[i] = (gradient[i] ?? 0) + 2 * strength * (weight[i] ?? 0) * distance;
    }
    await learner.engine.write(gradientBuffer(name), gradient);
  }
}
