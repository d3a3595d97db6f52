/** @file The training arena: one WebAssembly memory of exactly the planned size, which cannot grow. */
import { ExecutionError } from '../../errors.ts';
import { PAGE_BYTES, type Plan, type PlannedBuffer } from '../../plan/plan.ts';

export class Arena {
  readonly memory: WebAssembly.Memory;
  readonly #buffers: ReadonlyMap<string, PlannedBuffer>;
  #highWater = 0;

  /** @param shared whether other threads see it too */
  constructor(plan: Plan, shared = false) {
    const pages = plan.arenaBytes / PAGE_BYTES;
    this.memory = new WebAssembly.Memory({ initial: pages, maximum: pages, shared });
    this.#buffers = new Map(plan.buffers.map((buffer) => [buffer.name, buffer]));
  }

  get bytes(): number {
    return this.memory.buffer.byteLength;
  }

  /** Highest byte handed out so far. */
  get highWaterBytes(): number {
    return this.#highWater;
  }

  buffer(name: string): PlannedBuffer {
    const buffer = this.#buffers.get(name);
    if (!buffer) throw new ExecutionError(`the plan has no buffer "${name}"`, { buffer: name });
    return buffer;
  }

  /**
   * Offset of a buffer that is about to be used for `images` images from number `from` on (pinned buffers and scratch: whole); the
   * first image of a sliced buffer is that one.
   */
  use(name: string, images: number, from = 0): number {
    const { offset, bytes, bytesPerImage, sliced } = this.buffer(name);
    const skipped = sliced ? 0 : from * bytesPerImage;
    const used = bytesPerImage > 0 ? skipped + bytesPerImage * images : bytes;
    if (used > bytes) {
      throw new ExecutionError(`buffer "${name}" holds ${bytes} bytes, ${used} are needed for ${images} images`, {
        name,
      });
    }
    this.#highWater = Math.max(this.#highWater, offset + used);
    return offset + skipped;
  }

  floats(offset: number, count: number): Float32Array {
    return new Float32Array(this.memory.buffer, offset, count);
  }

  /** All floats of a buffer. */
  view(name: string, images: number): Float32Array {
    const offset = this.use(name, images);
    const { bytes, bytesPerImage } = this.buffer(name);
    return this.floats(offset, (bytesPerImage > 0 ? bytesPerImage * images : bytes) / 4);
  }
}
