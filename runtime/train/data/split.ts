/**
 * @file Sets samples aside for validation, the same share of every class.
 */

import { UsageError } from '../../errors.ts';
import { shuffle } from '../random.ts';
import type { Dataset } from './dataset.ts';

export interface Split {
  /** Sample indices, ascending. */
  readonly train: Uint32Array;
  readonly validation: Uint32Array;
}

/**
 * Splits by class: each gives `fraction` of its samples, rounded, at least one and never all; a class of one trains.
 *
 * @param fraction In [0, 1); 0 keeps everything for training.
 */
export function splitDataset(dataset: Pick<Dataset, 'samples' | 'label'>, fraction: number, seed: number): Split {
  if (!(fraction >= 0 && fraction < 1)) {
    throw new UsageError(`validation split: expected a fraction from 0 to below 1 but got ${fraction}`, { fraction });
  }
  const byClass = new Map<number, number[]>();
  for (let sample = 0; sample < dataset.samples; sample++) {
    const label = dataset.label(sample);
    const members = byClass.get(label);
    if (members) members.push(sample);
    else byClass.set(label, [sample]);
  }
  const train: number[] = [];
  const validation: number[] = [];
  for (const [label, members] of byClass) {
    const wanted = Math.max(1, Math.round(fraction * members.length));
    const held = fraction === 0 ? 0 : Math.min(wanted, members.length - 1);
    // The label stands in for the epoch: classes of equal size must not lose the same positions.
    const order = shuffle(members.length, seed, label);
    order.forEach((member, position) => {
      (position < held ? validation : train).push(members[member] as number);
    });
  }
  return { train: Uint32Array.from(train).sort(), validation: Uint32Array.from(validation).sort() };
}
