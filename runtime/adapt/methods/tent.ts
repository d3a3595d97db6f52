/**
 * @file TENT: scale and shift of every norm follow the entropy of the predictions down, with the statistics of the batch
 * (Wang et al., ICLR 2021).
 *
 * learningRate: Adam's. 1e-3 in the paper's CIFAR runs, whose batches have 200 frames; 3e-4 is about that in proportion to 64.
 */
import { entropies, entropyGradient, softmax } from '../entropy.ts';
import type { Method } from '../method.ts';
import { affineOfAllNorms } from './affine-plan.ts';

export const tent: Method = {
  defaults: { learningRate: 3e-4 },
  plan: affineOfAllNorms,
  stateBytes: () => 0,
  start: (learner, { numbers }) => ({
    async observe(images, count) {
      const logits = await learner.forward(images, count);
      const p = softmax(logits, learner.classes);
      const weights = new Float32Array(count).fill(1 / count);
      await learner.descend(entropyGradient(p, entropies(p, learner.classes), learner.classes, weights));
      await learner.update({ learningRate: numbers.learningRate ?? 0 });
      return { logits, updated: true, reason: 'entropy' };
    },
    reset() {},
    save: () => ({}),
    load() {},
  }),
};
