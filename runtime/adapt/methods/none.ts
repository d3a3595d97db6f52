/** @file none: the model as it is deployed. */
import type { Method } from '../method.ts';

export const none: Method = {
  defaults: {},
  plan: (_graph, { batch }) => ({
    scheme: { name: 'head', blocks: 0, head: false },
    optimizer: 'sgd',
    microBatch: batch,
  }),
  stateBytes: () => 0,
  start: (learner) => ({
    async observe(images, count) {
      return { logits: await learner.predict(images, count), updated: false, reason: 'frozen' };
    },
    reset() {},
    save: () => ({}),
    load() {},
  }),
};
