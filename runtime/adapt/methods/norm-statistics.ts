/**
 * @file Norm statistics alone, without gradients. Each predicts with what it has just taken from the frames.
 *
 * - `bn-batch`: those of the batch (Nado et al. 2020; Schneider et al. 2020).
 * - `bn-alpha`: (1 - alpha) stored + alpha batch, each time from the stored ones (Schneider et al. 2020).
 * - `bn-ema`: a moving average that goes on from batch to batch.
 */
import type { Method } from '../method.ts';

/** @param remembers whether statistics go on from batch to batch */
function normStatistics(
  norms: 'batch' | 'moving',
  defaults: { readonly momentum?: number },
  remembers: boolean,
): Method {
  return {
    defaults,
    plan: (_graph, { batch, numbers }) => ({
      scheme: { name: 'head', blocks: 0, head: false, norms, reach: 'all', momentum: numbers.momentum ?? 1 },
      optimizer: 'sgd',
      microBatch: batch,
    }),
    stateBytes: () => 0,
    start: (learner) => ({
      async observe(images, count) {
        const logits = await learner.forward(images, count);
        if (!remembers) await learner.write(learner.deployed);
        return { logits, updated: remembers, reason: 'statistics' };
      },
      reset() {},
      save: () => ({}),
      load() {},
    }),
  };
}

export const bnBatch = normStatistics('batch', {}, false);
export const bnAlpha = normStatistics('moving', { momentum: 0.1 }, false);
export const bnEma = normStatistics('moving', { momentum: 0.1 }, true);
