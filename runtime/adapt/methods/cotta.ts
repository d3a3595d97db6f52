/**
 * @file CoTTA: all parameters of a student follow a teacher that averages over the student's past and, where the deployed model
 * is unsure, over augmented frames; some elements return to the deployed model each step (Wang et al., CVPR 2022).
 *
 * learningRate: Adam's, 1e-3 in the paper's CIFAR runs. confidence: below this mean probability of the deployed model's
 * predictions the teacher's logits are averaged over `augmentations` views; 0.92 for CIFAR-10, 0.72 for CIFAR-100, 0.1 for
 * ImageNet. decay: of the teacher. restore: probability that an element returns; 0.001 for ImageNet.
 *
 * All three models normalize with the statistics of the batch. The prediction is the teacher's, averaged or not. In the arena
 * lies the teacher between frames (mean-teacher.ts).
 */
import { countBlocks } from '../../scheme/scheme.ts';
import { hash32, Random } from '../../train/random.ts';
import { augmentFrames } from '../augmentations.ts';
import { crossEntropyGradient, softmax } from '../entropy.ts';
import type { Learner, Values } from '../learner.ts';
import type { Method } from '../method.ts';
import { deployedValues, follow, loadStudent, type Student, saveStudent, takeStudent } from './mean-teacher.ts';

/** Step numbers wrap here, where single precision ends counting; they are only keys of random numbers. */
const MOST_STEPS = 2 ** 24;

export const cotta: Method = {
  defaults: { learningRate: 1e-3, confidence: 0.92, augmentations: 32, decay: 0.999, restore: 0.01 },
  plan: (graph, { batch }) => ({
    scheme: { name: 'full', blocks: countBlocks(graph), head: true, norms: 'batch', reach: 'all' },
    optimizer: 'adam',
    microBatch: batch,
  }),
  // The student; the teacher while another is in the arena; a view of the frames.
  stateBytes: ({ trained, frame }, { batch }) => 2 * trained + batch * frame,
  start: (learner, { numbers, batch, seed }) => {
    const { learningRate = 0, confidence = 0, augmentations = 0, decay = 1, restore = 0 } = numbers;
    const { classes, trained } = learner;
    const deployed = deployedValues(learner, trained);
    const size = learner.plan.model.imageSize;
    const view = new Uint8Array(batch * size * size * 3);
    let student = new Map(deployed);
    let step = 0;

    const averageOfViews = async (images: Uint8Array, count: number): Promise<Float32Array> => {
      const sum = new Float64Array(count * classes);
      for (let number = 0; number < augmentations; number++) {
        augmentFrames(images, count, size, [seed, step, number], view);
        const logits = await learner.forward(view.subarray(0, images.length), count);
        for (const [i, value] of logits.entries()) sum[i] = (sum[i] ?? 0) + value / augmentations;
      }
      return Float32Array.from(sum);
    };

    return {
      async observe(images, count) {
        const plain = await learner.forward(images, count);
        const teacher = await learner.read(trained);
        await learner.write(deployed);
        const anchor = softmax(await learner.forward(images, count), classes);
        const isUnsure = augmentations > 0 && meanOfLargest(anchor, classes) < confidence;
        if (isUnsure) await learner.write(teacher);
        const logits = isUnsure ? await averageOfViews(images, count) : plain;
        await learner.write(student);
        await imitate(learner, images, count, logits);
        await learner.update({ learningRate });
        await takeStudent(learner, student);
        follow(teacher, student, trained, 1 - decay);
        restoreElements(student, deployed, restore, [seed, step]);
        step = (step + 1) % MOST_STEPS;
        await learner.write(teacher);
        return { logits, updated: true, reason: isUnsure ? 'average of views' : 'teacher' };
      },
      reset() {
        student = new Map(deployed);
        step = 0;
      },
      save: () => ({ step: Float32Array.of(step), ...saveStudent(student) }),
      load(state) {
        student = loadStudent(deployed, state);
        step = state.step?.[0] ?? 0;
      },
    };
  },
};

/** Adds the gradient of the mean cross-entropy with what the teacher says. */
async function imitate(learner: Learner, images: Uint8Array, count: number, teacher: Float32Array): Promise<void> {
  const { classes } = learner;
  const p = softmax(await learner.forward(images, count), classes);
  const weights = new Float32Array(count).fill(1 / count);
  await learner.descend(crossEntropyGradient(p, softmax(teacher, classes), classes, weights));
}

function meanOfLargest(probabilities: Float32Array, classes: number): number {
  let sum = 0;
  for (let from = 0; from < probabilities.length; from += classes) {
    sum += Math.max(...probabilities.subarray(from, from + classes));
  }
  return (sum * classes) / probabilities.length;
}

const restoreStream = 0x5253;

/** Takes each element back to its deployed value with this probability; a function of key and tensor name. */
function restoreElements(values: Student, deployed: Values, probability: number, key: readonly number[]): void {
  for (const [name, array] of values) {
    const source = deployed.get(name);
    const random = new Random(...key, hash32(...Buffer.from(name)), restoreStream);
    for (let i = 0; i < array.length; i++) if (random.uniform() < probability) array[i] = source?.[i] ?? 0;
  }
}
