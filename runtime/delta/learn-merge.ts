/** @file Coefficients of a merge from a folder of labelled images, a few of each class. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DeltaError } from '../errors.ts';
import { openDataset } from '../train/data/dataset.ts';
import type { Fit } from '../train/data/decode.ts';
import { findIdx } from '../train/data/idx.ts';
import { type CoefficientTable, learnCoefficients } from './coefficients.ts';
import { LabelledLoss, type Score } from './labelled-loss.ts';
import { type Coefficients, learntBlocks, type MergedTensor, type NamedDelta } from './merge.ts';

export interface LearnMergeOptions {
  /** Image folder whose folders are called as the deltas' classes, or a folder of idx files. */
  readonly data: string;
  /** Images to take at most. */
  readonly limit?: number;
  readonly fit?: Fit;
  readonly threads: number;
  readonly onSweep?: (done: number, sweeps: number, loss: number) => void;
}

export interface LearntMerge {
  readonly coefficients: Coefficients;
  /** On those images: of the plain average, and of what was learnt. */
  readonly before: Score;
  readonly after: Score;
  /** Networks that were tried. */
  readonly evaluations: number;
}

/**
 * Learns them. Nothing in it is random: the same files give the same coefficients.
 * @param model path of the base
 * @throws DataError if the images cannot be used, DeltaError if the deltas have meta networks
 */
export async function learnMerge(
  model: string,
  deltas: readonly NamedDelta[],
  tensors: readonly MergedTensor[],
  { data, limit, fit, threads, onSweep }: LearnMergeOptions,
): Promise<LearntMerge> {
  const [first] = deltas;
  if (!first) throw new DeltaError('there is nothing to merge');
  const { imageSize, classes } = first.delta;
  const storeFolder = await mkdtemp(join(tmpdir(), 'edgeshift-'));
  try {
    const idx = await findIdx(data, 'train').catch(() => null);
    const { dataset } = await openDataset(data, {
      ...{ imageSize, storeFolder, threads },
      ...(limit !== undefined && { limit }),
      ...(fit && { fit }),
      ...(!idx && { classes }),
    });
    await using _ = dataset;
    const labelled = await LabelledLoss.open(model, first.delta, tensors, dataset, threads);
    const blocks = learntBlocks(tensors);
    const byBlock = (table: CoefficientTable): Coefficients => {
      const rows = new Map(blocks.map((block, i) => [block, table[i] ?? []]));
      return (block) => rows.get(block) ?? [];
    };
    const { table, evaluations } = await learnCoefficients({
      ...{ blocks: blocks.length, deltas: deltas.length },
      loss: async (candidate) => (await labelled.score(byBlock(candidate))).loss,
      ...(onSweep && { onSweep }),
    });
    const average = deltas.map(() => 1 / deltas.length);
    const [before, after] = [await labelled.score(() => average), await labelled.score(byBlock(table))];
    return { coefficients: byBlock(table), before, after, evaluations };
  } finally {
    await rm(storeFolder, { recursive: true, force: true });
  }
}
