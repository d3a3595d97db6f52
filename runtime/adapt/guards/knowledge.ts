/**
 * @file What a model seems to know about frames, without labels: the mutual information of frame and prediction,
 *   I = H(mean p) - mean H(p),
 * high where single predictions are certain and differ from frame to frame (Bridle et al. 1991; Liang et al., ICML 2020). A
 * collapsed model has I = 0, and so has one that knows nothing.
 */
import { entropies, softmax } from '../entropy.ts';
import type { Learner, Values } from '../learner.ts';

export interface Knowledge {
  /** I, in nats. */
  readonly information: number;
  /** H(mean p), in nats. */
  readonly variety: number;
  /** Mean H(p), in nats. */
  readonly uncertainty: number;
}

/** @param probabilities rows of `classes` values, one at least */
export function knowledgeOf(probabilities: Float32Array, classes: number): Knowledge {
  const rows = probabilities.length / classes;
  const mean = new Float32Array(classes);
  probabilities.forEach((p, i) => {
    mean[i % classes] = (mean[i % classes] ?? 0) + p / rows;
  });
  const variety = entropies(mean, classes)[0] ?? 0;
  const uncertainty = entropies(probabilities, classes).reduce((sum, h) => sum + h / rows, 0);
  return { information: variety - uncertainty, variety, uncertainty };
}

/** The model's as it is now, on 1 frame at least. */
export async function knowledgeOn(learner: Learner, images: Uint8Array, count: number): Promise<Knowledge> {
  return knowledgeOf(softmax(await learner.predict(images, count), learner.classes), learner.classes);
}

/** The same with these values in place, which are taken out again. */
export async function knowledgeWith(
  values: Values,
  learner: Learner,
  images: Uint8Array,
  count: number,
): Promise<Knowledge> {
  const current = await learner.read([...values.keys()]);
  await learner.write(values);
  const known = await knowledgeOn(learner, images, count);
  await learner.write(current);
  return known;
}

/** Share of ln C below which predictions are of few classes. */
const FEW = 0.75;

/** Nats of uncertainty that statistics of frames may add. */
const DOUBT = 0.1;

/** Whether predictions are of few classes. */
export const isOfFewClasses = ({ variety }: Knowledge, classes: number): boolean => variety < FEW * Math.log(classes);

/**
 * Whether a model that has followed the statistics of frames of few classes doubts them now: it was the classes that it followed. A
 * model that had collapsed in a changed world is surer afterwards.
 */
export const doubts = (before: Knowledge, after: Knowledge): boolean => after.uncertainty > before.uncertainty + DOUBT;
