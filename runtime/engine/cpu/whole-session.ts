/**
 * @file The whole network in one onnxruntime session, for predictions while nothing in it changes: what onnxruntime fuses and lays
 * out across ops is faster than op by op, which training needs.
 */
import { InferenceSession, Tensor } from 'onnxruntime-node';
import type { WholeNetwork } from '../../../models/onnx/whole.ts';
import { ExecutionError } from '../../errors.ts';
import { freeNow } from '../../garbage.ts';
import { PREFIX_IMAGES } from '../../plan/lifetimes.ts';
import type { Plan } from '../../plan/plan.ts';
import type { EngineModel, Preprocessing } from '../engine.ts';
import type { Machine } from './operands.ts';
import { normalizeImage } from './prefix.ts';
import { sessionOptions } from './session-options.ts';

export class WholeSession {
  readonly #plan: Plan;
  readonly #network: WholeNetwork;
  readonly #folder: string | undefined;
  readonly #preprocessing: Preprocessing;
  readonly #machine: Machine;
  #session: InferenceSession | null = null;
  /** Values of what may change that the session was opened with, by name. */
  readonly #openedWith = new Map<string, Float32Array>();

  constructor(plan: Plan, network: WholeNetwork, model: EngineModel, machine: Machine) {
    this.#plan = plan;
    this.#network = network;
    this.#folder = model.prefixFolder;
    this.#preprocessing = model.preprocessing;
    this.#machine = machine;
  }

  /** Whether it is open, with the very values that the arena holds. */
  get isCurrent(): boolean {
    return this.#session !== null && this.#network.changing.every((name) => this.#agrees(name));
  }

  /** Opens it with the values that the arena holds, unless that is how it is. */
  async open(): Promise<void> {
    if (this.isCurrent) return;
    await this.release();
    for (const name of this.#network.changing) this.#openedWith.set(name, this.#values(name).slice());
    const model = await this.#network.encode((name) => this.#values(name));
    try {
      this.#session = await InferenceSession.create(model, sessionOptions(this.#plan.threads, this.#folder));
    } catch (cause) {
      throw new ExecutionError(
        `onnxruntime cannot run "${this.#plan.model.name}": ${cause instanceof Error ? cause.message : cause}`,
        { model: this.#plan.model.name },
        { cause },
      );
    }
  }

  /** Logits of images (u8 RGB, channels-last), one at a time, so that its activations are those of one. */
  async run(images: Uint8Array, count: number): Promise<Float32Array> {
    const { classes, model, prefix, values } = this.#plan;
    const { arena } = this.#machine;
    const logits = new Float32Array(count * classes);
    const pixels = 3 * model.imageSize ** 2;
    const [inputName = ''] = this.#session?.inputNames ?? [];
    const [outputName = ''] = this.#session?.outputNames ?? [];
    for (let n = 0; n < count; n++) {
      // Where nothing lies below the cut, its place is the image's.
      const input = arena.use(prefix.nodes > 0 ? PREFIX_IMAGES : values.cut, 1);
      normalizeImage(this.#machine, this.#preprocessing, images.subarray(n * pixels, (n + 1) * pixels), input, true);
      const image = new Tensor('float32', arena.floats(input, pixels), [1, 3, model.imageSize, model.imageSize]);
      const output = (await this.#session?.run({ [inputName]: image }))?.[outputName]?.data;
      if (!(output instanceof Float32Array)) throw new ExecutionError('the whole network is not open');
      logits.set(output, n * classes);
      freeNow(output as Float32Array<ArrayBuffer>);
    }
    return logits;
  }

  async release(): Promise<void> {
    await this.#session?.release();
    this.#session = null;
  }

  #values(name: string): Float32Array {
    return this.#machine.arena.view(name, 1);
  }

  #agrees(name: string): boolean {
    const opened = this.#openedWith.get(name);
    return opened !== undefined && bytesOf(opened).equals(bytesOf(this.#values(name)));
  }
}

const bytesOf = ({ buffer, byteOffset, byteLength }: Float32Array): Buffer =>
  Buffer.from(buffer, byteOffset, byteLength);
