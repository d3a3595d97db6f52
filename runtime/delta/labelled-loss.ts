/** @file What a merge is worth on a few labelled images: the whole network in one onnxruntime session for each try. */
import '../engine/no-telemetry.ts';
import { dirname, resolve } from 'node:path';
import { InferenceSession, Tensor } from 'onnxruntime-node';
import { openDeployed } from '../../models/onnx/open-deployed.ts';
import { type WholeNetwork, wholeNetwork } from '../../models/onnx/whole.ts';
import { sessionOptions } from '../engine/cpu/session-options.ts';
import type { Preprocessing } from '../engine/engine.ts';
import { countCorrect } from '../engine/outcome.ts';
import { DeltaError } from '../errors.ts';
import { toGraphLayout } from '../graph/axes.ts';
import type { Origin } from '../graph/graph.ts';
import type { Dataset } from '../train/data/dataset.ts';
import type { Delta } from './delta.ts';
import { type Coefficients, type MergedTensor, mergeTensor } from './merge.ts';

export interface Score {
  /** Mean cross-entropy. */
  readonly loss: number;
  /** Share of the images that is told rightly. */
  readonly accuracy: number;
}

/** Images of a run. */
const BATCH = 16;

interface Labelled {
  readonly images: Tensor;
  readonly labels: Int32Array;
}

/** What the merge gives a parameter of the network. */
interface Place {
  readonly tensor: MergedTensor;
  readonly origin: Origin;
}

export class LabelledLoss {
  readonly #network: WholeNetwork;
  readonly #places: ReadonlyMap<string, Place>;
  readonly #session: InferenceSession.SessionOptions;
  readonly #batches: readonly Labelled[];

  private constructor(
    network: WholeNetwork,
    places: ReadonlyMap<string, Place>,
    session: InferenceSession.SessionOptions,
    batches: readonly Labelled[],
  ) {
    this.#network = network;
    this.#places = places;
    this.#session = session;
    this.#batches = batches;
  }

  /**
   * Holds all images of the data set, ready for the network.
   * @param delta one of those that are merged, whose head the network gets
   * @throws DeltaError if the network has meta networks, which the file does not have
   */
  static async open(
    modelPath: string,
    delta: Delta,
    tensors: readonly MergedTensor[],
    dataset: Dataset,
    threads: number,
  ): Promise<LabelledLoss> {
    const { file, graph, preprocessing } = await openDeployed(modelPath, delta);
    const merged = new Map(tensors.map((tensor) => [tensor.base.name, tensor]));
    const places = new Map(
      [...graph.parameters.values()].flatMap(({ name, origin }) => {
        const tensor = merged.get(origin.tensor ?? name);
        return tensor ? [[name, { tensor, origin }] as const] : [];
      }),
    );
    const network = delta.metaParts ? null : wholeNetwork(file, graph, [...places.keys()]);
    if (!network) {
      throw new DeltaError(
        'coefficients cannot be learnt for meta networks, which the model file does not hold\n' +
          'Hint: give --weights instead of --data',
      );
    }
    const session = sessionOptions(threads, dirname(resolve(modelPath)));
    return new LabelledLoss(network, places, session, await readBatches(dataset, preprocessing));
  }

  /** Of the network merged with these coefficients. */
  async score(coefficients: Coefficients): Promise<Score> {
    const model = await this.#network.encode((name) => {
      const { tensor, origin } = this.#places.get(name) as Place;
      return toGraphLayout(mergeTensor(tensor, coefficients).data, origin);
    });
    const session = await InferenceSession.create(model, this.#session);
    try {
      let [loss, correct, count] = [0, 0, 0];
      for (const { images, labels } of this.#batches) {
        const output = (await session.run({ [session.inputNames[0] ?? '']: images }))[session.outputNames[0] ?? ''];
        const logits = output?.data as Float32Array;
        loss += crossEntropy(logits, labels);
        correct += countCorrect(logits, labels);
        count += labels.length;
      }
      return { loss: loss / count, accuracy: correct / count };
    } finally {
      await session.release();
    }
  }
}

/** Sum over images. */
function crossEntropy(logits: Float32Array, labels: Int32Array): number {
  const classes = logits.length / labels.length;
  return labels.reduce((sum, label, n) => {
    const row = logits.subarray(n * classes, (n + 1) * classes);
    const most = row.reduce((a, b) => Math.max(a, b), Number.NEGATIVE_INFINITY);
    const total = row.reduce((inner, value) => inner + Math.exp(value - most), 0);
    return sum + Math.log(total) + most - (row[label] ?? Number.NaN);
  }, 0);
}

/** Images as the network takes them: float32 [count, 3, side, side]. */
async function readBatches(dataset: Dataset, { scale, bias }: Preprocessing): Promise<readonly Labelled[]> {
  const { samples, imageSize } = dataset;
  const pixels = imageSize ** 2;
  const batches: Labelled[] = [];
  for (let from = 0; from < samples; from += BATCH) {
    const count = Math.min(BATCH, samples - from);
    const planar = new Float32Array(count * 3 * pixels);
    for (let n = 0; n < count; n++) {
      const image = await dataset.read(from + n);
      for (let i = 0; i < 3 * pixels; i++) {
        const channel = i % 3;
        const value = (image[i] ?? 0) * (scale[channel] ?? 1) + (bias[channel] ?? 0);
        planar[(3 * n + channel) * pixels + Math.floor(i / 3)] = value;
      }
    }
    const labels = Int32Array.from({ length: count }, (_, n) => dataset.label(from + n));
    batches.push({ images: new Tensor('float32', planar, [count, 3, imageSize, imageSize]), labels });
  }
  return batches;
}
