/** @file The frozen prefix: pixels in, features at the cut out, one image at a time. */
import { PIXELS, PREFIX_IMAGES } from '../../plan/lifetimes.ts';
import type { Plan } from '../../plan/plan.ts';
import type { EngineModel, Preprocessing } from '../engine.ts';
import type { Machine } from './operands.ts';
import type { PrefixSession } from './prefix-session.ts';

export class Prefix {
  readonly #plan: Plan;
  readonly #machine: Machine;
  readonly #preprocessing: Preprocessing;
  /** Null where nothing lies below the cut and pixels go straight to it. */
  readonly #session: PrefixSession | null;

  private constructor(plan: Plan, machine: Machine, preprocessing: Preprocessing, session: PrefixSession | null) {
    this.#plan = plan;
    this.#machine = machine;
    this.#preprocessing = preprocessing;
    this.#session = session;
  }

  /** Loads onnxruntime only if there is something for it to run. */
  static async open(plan: Plan, model: EngineModel, machine: Machine): Promise<Prefix> {
    if (!model.prefix) return new Prefix(plan, machine, model.preprocessing, null);
    const { PrefixSession } = await import('./prefix-session.ts');
    return new Prefix(plan, machine, model.preprocessing, await PrefixSession.open(plan, model.prefix, model));
  }

  /**
   * Writes the features of `count` images (u8 RGB, channels-last) into the cut's buffer.
   * @param giveWay called before each of them
   */
  async run(images: Uint8Array, count: number, giveWay: () => void): Promise<void> {
    const { arena } = this.#machine;
    const { cut } = this.#plan.values;
    const target = arena.use(cut, count);
    const { bytesPerImage } = arena.buffer(cut);
    const size = this.#plan.model.imageSize;
    for (let n = 0; n < count; n++) {
      giveWay();
      const output = target + n * bytesPerImage;
      const pixels = images.subarray(n * 3 * size * size, (n + 1) * 3 * size * size);
      if (!this.#session) {
        normalizeImage(this.#machine, this.#preprocessing, pixels, output, false);
        continue;
      }
      const input = arena.use(PREFIX_IMAGES, 1);
      normalizeImage(this.#machine, this.#preprocessing, pixels, input, true);
      await this.#session.run(arena.floats(input, pixels.length), arena.floats(output, bytesPerImage / 4));
    }
  }

  async release(): Promise<void> {
    await this.#session?.release();
  }
}

/** Writes an image (u8 RGB, channels-last) as the network's input to byte `target` of the arena. */
export function normalizeImage(
  { arena, simd }: Machine,
  { scale, bias }: Preprocessing,
  pixels: Uint8Array,
  target: number,
  channelsFirst: boolean,
): void {
  const staging = arena.use(PIXELS, 1);
  new Uint8Array(arena.memory.buffer, staging, pixels.length).set(pixels);
  const [scale0 = 1, scale1 = 1, scale2 = 1] = scale;
  const [bias0 = 0, bias1 = 0, bias2 = 0] = bias;
  const first = channelsFirst ? 1 : 0;
  simd.normalizeImages(staging, target, 1, pixels.length / 3, first, scale0, scale1, scale2, bias0, bias1, bias2);
}
