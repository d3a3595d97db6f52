/**
 * @file Clipping activations, alone (clip.ts) or in one pass with a norm (affine.ts), and the bit they leave behind.
 *
 * Relu is `[0, inf)`, ReLU6 `[0, 6]`. Infinity is not JSON, so an open end is null.
 */

import { elements } from '../runtime/graph/graph.ts';
import type { Save } from './kernel.ts';

/** Attributes of a clipping activation; all null where there is none. */
export type ActivationAttributes = {
  readonly low: number | null;
  readonly high: number | null;
  /**
   * Which bit stands for the derivative: `exact` keeps 1[low < a < high]; `sign` keeps the published approximation
   * 1[a >= 0] (MobileTL, AAAI 2023, figure 2).
   */
  readonly derivative: 'exact' | 'sign';
};

export const noActivation: ActivationAttributes = { low: null, high: null, derivative: 'exact' };

export function hasActivation({ low, high }: ActivationAttributes): boolean {
  return low !== null || high !== null;
}

export function clip({ low, high }: ActivationAttributes, a: number): number {
  // Written so that NaN passes through.
  if (low !== null && a < low) return low;
  return high !== null && a > high ? high : a;
}

/** The derivative's bit, 0 or 1. */
export function derivativeBit({ low, high, derivative }: ActivationAttributes, a: number): number {
  if (derivative === 'sign') return a >= 0 ? 1 : 0;
  return a > (low ?? Number.NEGATIVE_INFINITY) && a < (high ?? Number.POSITIVE_INFINITY) ? 1 : 0;
}

/** The packed bit as a save. */
export function maskSave(shape: readonly number[]): Save {
  return { kind: 'own', name: 'mask', bytesPerImage: maskBytes(shape), elementsPerImage: elements(shape) };
}

/** Bytes of one image's packed mask: a row of channels is padded to whole bytes, so numel/8 where 8 divides C. */
export function maskBytes(shape: readonly number[]): number {
  const channels = shape.at(-1) ?? 1;
  const rows = shape.slice(0, -1).reduce((product, extent) => product * extent, 1);
  return rows * Math.ceil(channels / 8);
}
