/** @file Memory for two batches of inputs: one is filled while the engine works on the other. */
import type { Plan } from '../plan/plan.ts';

/** Room for `plan.batch` images and, beside them, for their features. Pages that no batch reaches are never resident. */
export interface InputSlot {
  /** u8, RGB, channels-last. */
  readonly images: Uint8Array;
  /** At the cut. */
  readonly features: Float32Array;
}

export type InputSlots = readonly [InputSlot, InputSlot];

interface SlotBytes {
  readonly images: number;
  readonly features: number;
}

function slotBytes({ batch, buffers, model, values }: Plan): SlotBytes {
  const cut = buffers.find(({ name }) => name === values.cut);
  // Whole floats, so that what follows is aligned.
  return { images: 4 * Math.ceil((batch * 3 * model.imageSize ** 2) / 4), features: batch * (cut?.bytesPerImage ?? 0) };
}

/** Bytes that the slots of a plan take. */
export function inputSlotsBytes(plan: Plan): number {
  const { images, features } = slotBytes(plan);
  return 2 * (images + features);
}

/** The slots of a plan in a buffer of `inputSlotsBytes`. */
export function inputSlots(plan: Plan, buffer: ArrayBufferLike = new ArrayBuffer(inputSlotsBytes(plan))): InputSlots {
  const bytes = slotBytes(plan);
  const slot = (index: number): InputSlot => {
    const offset = index * (bytes.images + bytes.features);
    return {
      images: new Uint8Array(buffer, offset, bytes.images),
      features: new Float32Array(buffer, offset + bytes.images, bytes.features / 4),
    };
  };
  return [slot(0), slot(1)];
}
