/** @file Methods on streams of corrupted images, each from a fresh adapter, all on the same images. */
import { UsageError } from '../../errors.ts';
import { type Dataset, openDataset } from '../../train/data/dataset.ts';
import type { Fit } from '../../train/data/decode.ts';
import { findIdx } from '../../train/data/idx.ts';
import { corrupt } from '../corruptions/corrupt.ts';
import type { MethodName } from '../methods/index.ts';
import type { AdaptOptions } from '../open.ts';
import { type AdapterFacts, WorkerAdapter } from '../worker-adapter.ts';
import { buildStream } from './build-stream.ts';
import { corruptedImages, type ImageProvider, keptImages } from './images.ts';
import type { StreamResults } from './results.ts';
import { runStream, type StreamProgress, type StreamRun } from './run-stream.ts';
import { type ProtocolName, type Stream, sampleAt } from './stream.ts';

export interface EvaluateStreamsOptions {
  /** Model, device and the like; what differs from method to method is in `methods`. */
  readonly base: Omit<AdaptOptions, 'method' | 'numbers' | 'delta' | 'batch'>;
  readonly methods: readonly EvaluatedMethod[];
  readonly protocols: readonly ProtocolName[];
  /** A folder of class folders, or of idx files, of which the test part is used. */
  readonly data: string;
  readonly fit: Fit;
  /** Frames a call. */
  readonly batch: number;
  readonly corruptions: readonly string[];
  readonly severity: number;
  readonly seed: number;
  /** Of `correlated`. */
  readonly concentration: number;
  /** Images of each corruption; default: all. */
  readonly limit?: number;
  /** Images of the source, of idx files the training part, for methods that take some. */
  readonly source?: { readonly data: string; readonly limit: number };
  /** Bytes of corrupted images that are kept for the next method; others are made again. Default 2 GiB. */
  readonly keptBytes?: number;
  readonly onEvent?: (event: EvaluationEvent) => void;
}

export type EvaluatedMethod = Pick<AdaptOptions, 'numbers' | 'delta'> & { readonly method: MethodName };

export type EvaluationEvent =
  | { readonly kind: 'images'; readonly protocol: ProtocolName; readonly done: number; readonly frames: number }
  | ({ readonly kind: 'progress'; readonly protocol: ProtocolName; readonly method: MethodName } & StreamProgress)
  | { readonly kind: 'run'; readonly protocol: ProtocolName; readonly run: StreamRun };

export interface StreamEvaluation {
  readonly results: readonly StreamResults[];
  /** Of the first method's model. */
  readonly model: AdapterFacts['plan']['model'];
}

/** @throws UsageError, DataError, and as `planAdaptation` */
export async function evaluateOnStreams(options: EvaluateStreamsOptions): Promise<StreamEvaluation> {
  const { methods, protocols, seed, keptBytes = 2 ** 31 } = options;
  const [first] = methods;
  if (!first || protocols.length === 0) throw new UsageError('expected at least one method and one stream');
  const model = await modelOf(options, first);
  await using dataset = await openImages(options, options.data, model.imageSize, 'test');
  const images = keptImages(corruptedImages(dataset, corrupt, seed), 3 * model.imageSize ** 2, keptBytes);
  const results: StreamResults[] = [];
  for (const protocol of protocols) {
    const stream = streamOf(options, protocol, dataset);
    await makeImages(stream, images, options);
    const runs: StreamRun[] = [];
    for (const method of methods) {
      const run = await runMethod(options, method, stream, images);
      options.onEvent?.({ kind: 'run', protocol, run });
      runs.push(run);
    }
    results.push({ stream, runs });
  }
  return { results, model };
}

const optionsOf = ({ base, batch, seed }: EvaluateStreamsOptions, method: EvaluatedMethod): AdaptOptions => ({
  ...base,
  ...method,
  batch,
  seed,
});

/** Opens the first method and closes it: what is wrong with it is known before a single image is made. */
async function modelOf(options: EvaluateStreamsOptions, method: EvaluatedMethod): Promise<StreamEvaluation['model']> {
  await using adapter = await WorkerAdapter.open(optionsOf(options, method));
  return adapter.facts.plan.model;
}

async function openImages(
  { fit }: Pick<EvaluateStreamsOptions, 'fit'>,
  data: string,
  imageSize: number,
  split: 'train' | 'test',
  limit?: number,
): Promise<Dataset> {
  const idx = await findIdx(data, split).catch(() => null);
  const { dataset } = await openDataset(data, {
    imageSize,
    fit,
    ...(idx && { split }),
    ...(limit !== undefined && { limit }),
  });
  return dataset;
}

function streamOf(options: EvaluateStreamsOptions, protocol: ProtocolName, dataset: Dataset): Stream {
  const { corruptions, seed, severity, concentration, limit } = options;
  return buildStream({
    protocol,
    labels: Int32Array.from({ length: dataset.samples }, (_, sample) => dataset.label(sample)),
    classes: dataset.classes.length,
    corruptions,
    seed,
    severity,
    delta: concentration,
    ...(limit !== undefined && { limit: Math.min(limit, dataset.samples) }),
  });
}

/** Beforehand, so that no method's time holds the making of its images. */
async function makeImages(stream: Stream, images: ImageProvider, options: EvaluateStreamsOptions): Promise<void> {
  let done = 0;
  for (const segment of stream.segments) {
    for (let place = 0; place < segment.images.length; place++) {
      await images(sampleAt(stream, segment, place));
      done += 1;
      if (done % 1000 === 0 || done === stream.frames) {
        options.onEvent?.({ kind: 'images', protocol: stream.protocol, done, frames: stream.frames });
      }
    }
  }
}

async function runMethod(
  options: EvaluateStreamsOptions,
  method: EvaluatedMethod,
  stream: Stream,
  images: ImageProvider,
): Promise<StreamRun> {
  await using adapter = await WorkerAdapter.open(optionsOf(options, method));
  await showSource(options, adapter);
  return await runStream(adapter, stream, images, {
    batch: options.batch,
    prefetch: false,
    onProgress: (progress) =>
      options.onEvent?.({ kind: 'progress', protocol: stream.protocol, method: method.method, ...progress }),
  });
}

async function showSource(options: EvaluateStreamsOptions, adapter: WorkerAdapter): Promise<void> {
  if (!options.source) return;
  const { data, limit } = options.source;
  await using dataset = await openImages(options, data, adapter.imageSize, 'train', limit);
  const bytes = 3 * adapter.imageSize ** 2;
  const images = new Uint8Array(dataset.samples * bytes);
  for (let sample = 0; sample < dataset.samples; sample++) images.set(await dataset.read(sample), sample * bytes);
  await adapter.showSource(images, dataset.samples);
}
