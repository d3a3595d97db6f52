/** @file The frozen prefix as one onnxruntime session: an image to its features, both on the arena. */
import '../no-telemetry.ts';
import { InferenceSession, Tensor } from 'onnxruntime-node';
import { ExecutionError } from '../../errors.ts';
import { freeNow } from '../../garbage.ts';
import type { Plan } from '../../plan/plan.ts';
import type { EngineModel } from '../engine.ts';
import { sessionOptions } from './session-options.ts';

export class PrefixSession {
  readonly #session: InferenceSession;
  readonly #imageShape: readonly number[];
  readonly #featureShape: readonly number[];

  private constructor(plan: Plan, session: InferenceSession) {
    const size = plan.model.imageSize;
    this.#session = session;
    this.#imageShape = [1, 3, size, size];
    this.#featureShape = [1, ...(plan.steps[0]?.shapes.output ?? [])];
  }

  /** @throws ExecutionError if onnxruntime refuses the model */
  static async open(plan: Plan, prefix: Uint8Array, model: EngineModel): Promise<PrefixSession> {
    try {
      const session = await InferenceSession.create(prefix, sessionOptions(plan.threads, model.prefixFolder));
      return new PrefixSession(plan, session);
    } catch (cause) {
      throw new ExecutionError(
        `onnxruntime cannot run the frozen part of "${plan.model.name}": ${cause instanceof Error ? cause.message : cause}`,
        { model: plan.model.name },
        { cause },
      );
    }
  }

  /** Features of one image, which is normalized and channels-first. */
  async run(image: Float32Array, features: Float32Array): Promise<void> {
    const [inputName = ''] = this.#session.inputNames;
    const [outputName = ''] = this.#session.outputNames;
    const results = await this.#session.run(
      { [inputName]: new Tensor('float32', image, this.#imageShape) },
      { [outputName]: new Tensor('float32', features, this.#featureShape) },
    );
    // A copy of what the arena holds, which nobody reads.
    freeNow(results[outputName]?.data as Float32Array<ArrayBuffer>);
  }

  async release(): Promise<void> {
    await this.#session.release();
  }
}
