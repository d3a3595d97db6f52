/** @file An ONNX file in onnxruntime and nothing else, image by image. */
import '../../runtime/engine/no-telemetry.ts';
import { InferenceSession, Tensor } from 'onnxruntime-node';

export class BareModel {
  readonly #session: InferenceSession;

  private constructor(session: InferenceSession) {
    this.#session = session;
  }

  static async open(path: string): Promise<BareModel> {
    return new BareModel(await InferenceSession.create(path, { logSeverityLevel: 3 }));
  }

  /** First output for u8 RGB images [N, H, W, 3] of value pixel / 255, row by row. */
  async logits(images: Uint8Array, count: number, size: number): Promise<Float32Array> {
    const [input = ''] = this.#session.inputNames;
    const [output = ''] = this.#session.outputNames;
    const pixels = size * size;
    const rows: number[] = [];
    for (let n = 0; n < count; n++) {
      const planes = new Float32Array(3 * pixels);
      for (let p = 0; p < pixels; p++) {
        for (let c = 0; c < 3; c++) planes[c * pixels + p] = (images[(n * pixels + p) * 3 + c] ?? 0) / 255;
      }
      const { [output]: row } = await this.#session.run({ [input]: new Tensor('float32', planes, [1, 3, size, size]) });
      if (row) rows.push(...(row.data as Float32Array));
    }
    return Float32Array.from(rows);
  }

  async release(): Promise<void> {
    await this.#session.release();
  }
}
