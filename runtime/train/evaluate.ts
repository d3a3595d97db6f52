/** @file Accuracy of what is in the engine now. */

import type { Engine } from '../engine/engine.ts';
import { countCorrect } from '../engine/outcome.ts';
import type { Dataset } from './data/dataset.ts';
import type { FeatureCache } from './feature-cache.ts';
import { evaluationFeed, feed } from './feed.ts';

/** Share of `indices` that the engine classifies rightly. */
export async function measureAccuracy(
  engine: Engine,
  dataset: Dataset,
  indices: Uint32Array,
  cache: FeatureCache | null = null,
  onLogits?: (logits: Float32Array, labels: Int32Array) => void,
): Promise<number> {
  let correct = 0;
  for await (const { input, labels } of feed(engine, dataset, indices, evaluationFeed(engine.plan.batch), cache)) {
    const logits = await engine.forward(input);
    onLogits?.(logits, labels);
    correct += countCorrect(logits, labels);
  }
  return correct / indices.length;
}

/** 0, 1, ..., n - 1. */
export function allIndices(samples: number): Uint32Array {
  return Uint32Array.from({ length: samples }, (_, i) => i);
}
