/**
 * @file EcoTTA: small meta networks beside the parts of the frozen network follow the entropy of the predictions down, held back
 * by the distance between each part's new output and its original one (Song et al., CVPR 2023; scheme/meta-networks.ts).
 *
 * With S the frames whose entropy is below margin ln(classes), one optimizer step along the gradient of
 *   mean over S of H + lambda sum over parts of mean |new - stop(original)|,
 * the second term with the part's input detached, so that it is back-propagated part by part. That is the order of the
 * published sample. Another one in use takes two steps a batch, first along the second term and then, after a second forward
 * pass, along the first; it predicts from that second pass and costs one forward pass and one backward pass more.
 * A frozen norm takes the statistics of the batch, as in the loops in use, but as constants (`moving` with momentum 1), so that no
 * float tensor of a frozen part is kept for the backward pass, masks alone; with the stored ones the lowest part would stay unadapted.
 *
 * parts: number of parts to plan for where no warmed-up ones are given; 0: by the number of blocks (Parts). learningRate: SGD's, with
 * momentum 0.9. lambda, margin: above. momentum: weight of a batch in the frozen norms' statistics; 0: they stay as stored.
 */
import { UsageError } from '../../errors.ts';
import { META, metaConvolutions, metaTensors, withMetaNetworks } from '../../scheme/meta-networks.ts';
import { entropies, entropyGradient, softmax } from '../entropy.ts';
import type { Learner } from '../learner.ts';
import type { Method } from '../method.ts';

export const ecotta: Method = {
  defaults: { parts: 0, learningRate: 5e-3, lambda: 0.5, margin: 0.4, momentum: 1 },
  plan(base, { batch, seed, numbers: { parts = 0, momentum = 0 } }) {
    const graph = base.parameters.has(`${META}.1.conv.weight`)
      ? base
      : withMetaNetworks(base, { parts: parts || 'auto', seed });
    return {
      graph,
      scheme: {
        name: 'blocks',
        blocks: 0,
        head: false,
        train: metaTensors,
        ...(momentum > 0 ? { norms: 'moving', momentum, reach: 'all' } : { norms: 'stored' }),
      },
      optimizer: 'sgd',
      microBatch: batch,
      // One convolution a part is cheaper than the memory of its output.
      computedAgain: metaConvolutions(graph),
    };
  },
  stateBytes: () => 0,
  start(learner, { numbers: { learningRate = 0, lambda = 0, margin = 0 } }) {
    requireWarmUp(learner);
    return {
      async observe(images, count) {
        const { classes } = learner;
        const logits = await learner.forward(images, count);
        const p = softmax(logits, classes);
        const entropy = entropies(p, classes);
        const sure = entropy.map((h) => Number(h < margin * Math.log(classes)));
        const kept = sure.reduce((sum, bit) => sum + bit, 0);
        const weights = sure.map((bit) => bit / Math.max(1, kept));
        await learner.descend(entropyGradient(p, entropy, classes, weights), lambda / count);
        await learner.update({ learningRate });
        return { logits, updated: true, reason: kept > 0 ? 'entropy' : 'regulariser alone' };
      },
      reset() {},
      save: () => ({}),
      load() {},
    };
  },
};

/** Fresh meta networks replace features by noise; running statistics that never moved tell them. */
function requireWarmUp({ deployed, statistics }: Learner): void {
  const means = statistics.filter((name) => name.startsWith(META) && name.endsWith('.mean'));
  if (!means.every((name) => deployed.get(name)?.every((value) => value === 0))) return;
  throw new UsageError(
    'EcoTTA needs meta networks that were trained on images of the source, but those of this model are fresh\n' +
      'Hint: run `edgeshift warmup <model> --data <folder> --run <folder>` and give its delta.safetensors with --delta',
  );
}
