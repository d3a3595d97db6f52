/**
 * @file SAR: entropy of certain frames goes down where it is flat (sharpness-aware minimization), and a collapsed model starts
 * anew (Niu et al., ICLR 2023). Two passes forward and back.
 *
 * learningRate: of SGD with momentum 0.9; 2.5e-4 is the paper's for ResNets at batches of 32 and more. rho: length of the ascent.
 * margin: entropies below margin ln C count as certain. recovery: the model is reset when the moving average of the loss falls
 * below it; the paper's 0.2 belongs to ImageNet's 1000 classes, with few classes healthy models come near it.
 *
 * Scale and shift of the norms train but for those of the last stage, which are the most sensitive: all blocks of the smallest
 * map and what follows them, where there is a larger map. After a reset the average starts anew too; the authors' code keeps the
 * low one.
 */
import { findBlocks } from '../../graph/blocks.ts';
import { elements, type Graph, shapeOf } from '../../graph/graph.ts';
import { entropies, entropyGradient, softmax } from '../entropy.ts';
import { clearGradients, readGradient } from '../gradients.ts';
import type { Learner, Values } from '../learner.ts';
import type { Method } from '../method.ts';
import { affineOfAllNorms } from './affine-plan.ts';

/** Weight of the past in the moving average of the loss. */
const KEEP = 0.9;

export const sar: Method = {
  defaults: { learningRate: 2.5e-4, rho: 0.05, margin: 0.4, recovery: 0.2 },
  plan(graph, settings) {
    const all = affineOfAllNorms(graph, settings);
    return { ...all, scheme: { ...all.scheme, freeze: normsOfLastStage(graph).map(literalGlob) }, optimizer: 'sgd' };
  },
  // What trains, while the model stands at the top of the ascent.
  stateBytes: ({ trained }) => trained,
  start: (learner, { numbers }) => {
    const { learningRate = 0, rho = 0, margin = 0, recovery = 0 } = numbers;
    const { classes } = learner;
    const limit = margin * Math.log(classes);
    // NaN: no loss yet.
    let average = Number.NaN;
    return {
      async observe(images, count) {
        const logits = await learner.forward(images, count);
        const certain = await descendAmong(learner, logits, limit, null);
        if (certain.frames.length === 0) return { logits, updated: false, reason: 'uncertain' };
        const before = await ascend(learner, rho);
        const above = await learner.forward(images, count);
        const still = await descendAmong(learner, above, limit, certain.frames);
        await learner.write(before);
        if (still.frames.length === 0) return { logits, updated: false, reason: 'uncertain' };
        await learner.update({ learningRate });
        average = Math.fround(Number.isNaN(average) ? still.loss : KEEP * average + (1 - KEEP) * still.loss);
        if (average >= recovery) return { logits, updated: true, reason: 'entropy' };
        await learner.reset();
        average = Number.NaN;
        return { logits, updated: true, reason: 'recovery' };
      },
      reset() {
        average = Number.NaN;
      },
      save: () => ({ average: Float32Array.of(average) }),
      load(state) {
        average = state.average?.[0] ?? Number.NaN;
      },
    };
  },
};

/** Adds the gradient of the mean entropy of the certain frames among some, or all; none if there are no such frames. */
async function descendAmong(
  learner: Learner,
  logits: Float32Array,
  limit: number,
  among: readonly number[] | null,
): Promise<{ readonly frames: readonly number[]; readonly loss: number }> {
  const p = softmax(logits, learner.classes);
  const entropy = entropies(p, learner.classes);
  const frames = (among ?? [...entropy.keys()]).filter((n) => (entropy[n] ?? Number.NaN) < limit);
  if (frames.length === 0) return { frames, loss: 0 };
  const weights = new Float64Array(entropy.length);
  for (const n of frames) weights[n] = 1 / frames.length;
  await learner.descend(entropyGradient(p, entropy, learner.classes, weights));
  return { frames, loss: frames.reduce((sum, n) => sum + (entropy[n] ?? 0), 0) / frames.length };
}

/** Moves what trains by `rho` along the gradient, which is used up; returns where it was. */
async function ascend(learner: Learner, rho: number): Promise<Values> {
  let squares = 0;
  for (const name of learner.trained) for (const g of await readGradient(learner, name)) squares += g * g;
  const step = rho / (Math.sqrt(squares) + 1e-12);
  const before = await learner.read(learner.trained);
  for (const [name, values] of before) {
    const gradient = await readGradient(learner, name);
    await learner.engine.write(
      name,
      values.map((value, i) => value + step * (gradient[i] ?? 0)),
    );
  }
  await clearGradients(learner);
  return before;
}

/** Tensors of the norms at the smallest map; none where all maps have one size. */
export function normsOfLastStage(graph: Graph): readonly string[] {
  const blocks = findBlocks(graph);
  const area = (tensor: string): number => elements(shapeOf(graph, tensor).slice(0, -1));
  const areas = blocks.filter(({ role }) => role === 'block').map(({ output }) => area(output));
  const smallest = Math.min(...areas);
  if (areas.every((found) => found === smallest)) return [];
  const late = new Set(blocks.filter(({ output }) => area(output) <= smallest).flatMap(({ nodes }) => nodes));
  return graph.nodes.flatMap(({ name, op, parameters: { scale, shift } }) =>
    late.has(name) && (op === 'Affine' || op === 'LayerNorm')
      ? [scale, shift].filter((tensor) => tensor !== undefined)
      : [],
  );
}

const literalGlob = (name: string): string => name.replace(/[*?[]/g, '[$&]');
