/** @file Usual ways to bring pixels to a network. */
import type { Preprocessing } from '../../runtime/engine/engine.ts';
import { UsageError } from '../../runtime/errors.ts';

const third = (value: number): readonly number[] => [value, value, value];
const imagenet = { mean: [0.485, 0.456, 0.406], deviation: [0.229, 0.224, 0.225] } as const;

/** Usual ways to bring pixels to a network, by name. */
export const preprocessings: Readonly<Record<string, Preprocessing>> = {
  '0-1': { scale: third(1 / 255), bias: third(0) },
  '-1-1': { scale: third(2 / 255), bias: third(-1) },
  '0-255': { scale: third(1), bias: third(0) },
  imagenet: {
    scale: imagenet.deviation.map((deviation) => 1 / (255 * deviation)),
    bias: imagenet.mean.map((mean, c) => -mean / (imagenet.deviation[c] ?? 1)),
  },
};

/** @throws UsageError if there is no preprocessing of that name */
export function preprocessingNamed(name: string): Preprocessing {
  const found = preprocessings[name];
  if (found) return found;
  throw new UsageError(`--normalize must be one of ${Object.keys(preprocessings).join(', ')}: ${JSON.stringify(name)}`);
}
