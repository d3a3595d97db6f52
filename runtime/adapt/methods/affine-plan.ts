/** @file The plan that TENT and its successors share: scale and shift of every norm train, with the statistics of the batch. */
import { countBlocks } from '../../scheme/scheme.ts';
import type { Method } from '../method.ts';

export const affineOfAllNorms: Method['plan'] = (graph, { batch }) => ({
  scheme: {
    name: 'norms',
    blocks: countBlocks(graph),
    head: false,
    norms: 'batch',
    reach: 'all',
  },
  optimizer: 'adam',
  microBatch: batch,
});
