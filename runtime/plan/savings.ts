/** @file How what the backward pass reads is kept: the choices, what each means, and their names. */
import type { ActivationSave } from '../../kernels/smooth-activation.ts';

/**
 * Outputs are the same to the bit whatever is chosen; gradients are exact with `float` and `float` and approximate
 * otherwise. Clipping activations keep one exact bit always.
 */
export interface Savings {
  /** Inputs of smooth activations: as floats, or as codes of the derivative. */
  readonly activations: ActivationSave;
  /** Every other tensor that is kept: as floats, or as 8-bit codes with a range for each image and 16 channels. */
  readonly tensors: 'float' | '8bit';
  /** Whether each trained block's insides are computed again instead of kept. */
  readonly recompute: boolean;
}

/** What `--save` can say. */
export const saveNames = [
  'mask',
  '2bit',
  '3bit',
  '4bit',
  '8bit',
  'float',
  'auto',
  'mask+8bit',
  '2bit+8bit',
  '3bit+8bit',
  '4bit+8bit',
] as const;
export type SaveName = (typeof saveNames)[number];

/** The `--save` that says it. */
export function saveName({ activations, tensors }: Savings): SaveName {
  const codes = activations === '1bit' ? 'mask' : activations;
  if (tensors === 'float') return codes;
  return codes === 'float' ? '8bit' : `${codes}+8bit`;
}
