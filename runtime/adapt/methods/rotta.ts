/**
 * @file RoTTA: moving norm statistics, a class-balanced memory, and a student that follows its slow teacher on augmented frames of
 * the memory, young ones above all (Yuan et al., CVPR 2023). For streams whose labels are correlated.
 *
 * learningRate: Adam's. momentum: of the batch in the moving statistics. capacity: frames kept. every: frames from update to
 * update. share: of the student in the teacher at each update.
 *
 * Student and teacher have statistics of their own. Where this differs from the authors' code: their norms let the gradient
 * through the batch's share of the moving statistics, here these are constants to it; their running variance takes the biased
 * variance of the batch, here the unbiased one.
 */
import { countBlocks } from '../../scheme/scheme.ts';
import { augmentFrames } from '../augmentations.ts';
import { argmaxRows, crossEntropyGradient, entropies, softmax } from '../entropy.ts';
import { bankBytes, cstu } from '../memory-bank.ts';
import type { Method } from '../method.ts';
import { deployedValues, follow, loadStudent, saveStudent, takeStudent } from './mean-teacher.ts';

/** Update numbers wrap here, where single precision ends counting; they are only keys of random numbers. */
const MOST_UPDATES = 2 ** 24;

export const rotta: Method = {
  defaults: { learningRate: 1e-3, momentum: 0.05, capacity: 64, every: 64, share: 0.001 },
  plan: (graph, { batch, numbers: { momentum = 1, capacity = 1 } }) => ({
    scheme: { name: 'norms', blocks: countBlocks(graph), head: false, norms: 'moving', momentum, reach: 'all' },
    optimizer: 'adam',
    // The statistics move once for the whole memory.
    microBatch: Math.max(batch, capacity),
  }),
  // The student; the teacher while the student is in the arena; the memory, and a view of its frames.
  stateBytes: ({ changing, frame, classes }, { numbers: { capacity = 0 } }) =>
    2 * changing + bankBytes({ capacity, frameBytes: frame, classes }) + capacity * frame,
  start: (learner, { numbers, seed }) => {
    const { learningRate = 0, capacity = 1, every = 1, share = 0 } = numbers;
    const { classes, trained } = learner;
    const size = learner.plan.model.imageSize;
    const bank = cstu({ capacity, frameBytes: size * size * 3, classes });
    const view = new Uint8Array(capacity * size * size * 3);
    const deployed = deployedValues(learner, [...trained, ...learner.statistics]);
    let student = new Map(deployed);
    let [waiting, updates] = [0, 0];

    const update = async (): Promise<void> => {
      const target = softmax(await learner.forward(bank.frames, bank.size), classes);
      const teacher = await learner.read();
      await learner.write(student);
      augmentFrames(bank.frames, bank.size, size, [seed, updates], view);
      const p = softmax(await learner.forward(view.subarray(0, bank.frames.length), bank.size), classes);
      const weights = Float64Array.from(bank.ages, (age) => timeliness(age / capacity) / bank.size);
      await learner.descend(crossEntropyGradient(p, target, classes, weights));
      await learner.update({ learningRate });
      await takeStudent(learner, student);
      follow(teacher, student, trained, share);
      await learner.write(teacher);
      updates = (updates + 1) % MOST_UPDATES;
    };

    return {
      async observe(images, count) {
        const logits = await learner.predict(images, count);
        const p = softmax(logits, classes);
        const entropy = entropies(p, classes);
        let updated = false;
        for (const [n, label] of argmaxRows(p, classes).entries()) {
          const bytes = images.length / count;
          bank.add(images.subarray(n * bytes, (n + 1) * bytes), label, entropy[n] ?? 0);
          waiting = (waiting + 1) % every;
          if (waiting > 0) continue;
          await update();
          updated = true;
        }
        return { logits, updated, reason: updated ? 'memory' : 'waiting' };
      },
      reset() {
        bank.clear();
        student = new Map(deployed);
        [waiting, updates] = [0, 0];
      },
      save: () => ({ ...bank.save(), counts: Float32Array.of(waiting, updates), ...saveStudent(student) }),
      load(state) {
        bank.load(state);
        student = loadStudent(deployed, state);
        [waiting, updates] = [state.counts?.[0] ?? 0, state.counts?.[1] ?? 0];
      },
    };
  },
};

/** Weight of a frame of this age in capacities. */
function timeliness(age: number): number {
  return Math.exp(-age) / (1 + Math.exp(-age));
}
