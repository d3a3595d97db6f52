/**
 * @file EATA: TENT on frames that are both certain and new, held near the deployed model (Niu et al., ICML 2022).
 *
 * learningRate: Adam's. margin: entropies below margin ln C count as certain. redundancy: a certain frame counts as new if the
 * cosine between its probabilities and the moving average of those used before is smaller: 0.4 for 10 classes, 0.1 for 100,
 * 0.05 for 1000. fisherAlpha: strength of the anchor, whose weights are those of `fisher`; 0: none. The paper's is 2000 for
 * ImageNet, others use 1 for CIFAR.
 *
 * Activations of the whole batch are kept, as in the authors' code, although only the chosen frames have a gradient.
 */
import { argmaxRows, entropies, entropyGradient, softmax } from '../entropy.ts';
import { addAnchor, clearGradients, readGradient } from '../gradients.ts';
import { FrameFilter } from '../guards/filters.ts';
import type { Learner, Values } from '../learner.ts';
import type { Method } from '../method.ts';
import { affineOfAllNorms } from './affine-plan.ts';

export const eata: Method = {
  defaults: { learningRate: 1e-3, margin: 0.4, redundancy: 0.4, fisherAlpha: 0 },
  plan: affineOfAllNorms,
  fromSource: fisher,
  stateBytes: ({ trained, classes }, { numbers }) => ((numbers.fisherAlpha ?? 0) > 0 ? trained : 0) + 4 * classes,
  start: (learner, { numbers }) => {
    const { learningRate = 0, margin = 0, redundancy = 0, fisherAlpha = 0 } = numbers;
    const { classes } = learner;
    const filter = new FrameFilter(classes, margin, redundancy);
    let weights: Values = new Map();
    return {
      async observe(images, count) {
        const logits = await learner.forward(images, count);
        const p = softmax(logits, classes);
        const entropy = entropies(p, classes);
        const shares = filter.weigh(p, entropy);
        const chosen = shares.filter((share) => share > 0).length;
        if (chosen === 0) {
          return { logits, updated: false, reason: filter.anyCertain(entropy) ? 'redundant' : 'uncertain' };
        }
        filter.learnt(p, shares);
        const weighted = shares.map((share) => share / chosen);
        await learner.descend(entropyGradient(p, entropy, classes, weighted));
        if (fisherAlpha > 0) await addAnchor(learner, weights, fisherAlpha);
        await learner.update({ learningRate });
        return { logits, updated: true, reason: 'entropy' };
      },
      reset() {
        filter.reset();
      },
      save: () => ({ average: filter.save(), ...named(weights) }),
      load(state) {
        filter.load(state.average ?? new Float32Array());
        weights = new Map(
          learner.trained.flatMap((name) => {
            const values = state[fisherKey(name)];
            return values ? [[name, values] as const] : [];
          }),
        );
      },
    };
  },
};

/**
 * The anchor's weights, from images of the domain that the model was trained in: squared gradients of the cross-entropy with the
 * model's own predictions, batch by batch with the statistics of the batch, averaged over the batches. The model is as before.
 * @param images u8, RGB, channels-last, `count` of them; the paper takes 2000
 * @returns what `load` of a running EATA takes beside the rest of its state
 */
export async function fisher(
  learner: Learner,
  images: Uint8Array,
  count: number,
): Promise<Readonly<Record<string, Float32Array>>> {
  const { classes, plan } = learner;
  const before = await learner.read(learner.statistics);
  const sums = new Map<string, Float32Array>();
  const size = images.length / count;
  const batches = Math.ceil(count / plan.microBatch);
  for (let from = 0; from < count; from += plan.microBatch) {
    const n = Math.min(plan.microBatch, count - from);
    const p = softmax(await learner.forward(images.subarray(from * size, (from + n) * size), n), classes);
    const gradient = p.map((value) => value / n);
    for (const [row, label] of argmaxRows(p, classes).entries()) {
      const at = row * classes + label;
      gradient[at] = (gradient[at] ?? 0) - 1 / n;
    }
    await learner.descend(gradient);
    for (const name of learner.trained) {
      const found = await readGradient(learner, name);
      const sum = sums.get(name) ?? new Float32Array(found.length);
      sums.set(
        name,
        sum.map((value, i) => value + (found[i] ?? 0) ** 2 / batches),
      );
    }
    await clearGradients(learner);
  }
  await learner.write(before);
  return named(sums);
}

const fisherKey = (name: string): string => `fisher ${name}`;

function named(weights: Values): Record<string, Float32Array> {
  return Object.fromEntries([...weights].map(([name, values]) => [fisherKey(name), values]));
}
