/** @file How large a candidate is: cheap bounds first, the exact layout last. */

import { workspaceBytes } from '../../kernels/kernel.ts';
import { SLICE_IMAGES } from '../autodiff/slices.ts';
import { elements, type Graph, shapeOf } from '../graph/graph.ts';
import { dataBytes, exportBytes, featureRoomBytes, readingBytes } from './accounting.ts';
import { align, type Layout, layOut } from './layout.ts';
import type { Storage } from './lifetimes.ts';
import { PAGE_BYTES, type PlannedBytes } from './plan.ts';
import type { Prepared, PreparedScheme } from './prepare.ts';

/** What a size depends on besides the prepared candidate. */
export interface SizeOptions {
  readonly batch: number;
  readonly microBatch: number;
  /** What the process holds before any model is loaded (accounting.ts). */
  readonly baseBytes: number;
  /** Size of the ONNX file. */
  readonly fileBytes: number;
  /** Default 0. */
  readonly adaptationBytes?: number;
  /** Whether batches of features are held beside those of images; default false. */
  readonly cachesFeatures?: boolean;
}

export interface Size {
  readonly layout: Layout;
  readonly arenaBytes: number;
  readonly savedBytes: number;
  readonly totalBytes: number;
  readonly bytes: PlannedBytes;
}

export function storageBytes({ bytesPerImage, workspace, sliced }: Storage, microBatch: number): number {
  const images = sliced ? Math.min(SLICE_IMAGES, microBatch) : microBatch;
  return bytesPerImage * images + workspaceBytes(workspace, images);
}

/** The exact size. */
export function measure(graph: Graph, prepared: Prepared, options: SizeOptions): Size {
  const { storages, pinned } = prepared;
  const { microBatch } = options;
  const layout = layOut(
    storages.map((storage) => ({ bytes: storageBytes(storage, microBatch), from: storage.from, to: storage.to })),
    pinned.end,
  );
  const arenaBytes = Math.ceil(layout.peakBytes / PAGE_BYTES) * PAGE_BYTES;
  const savedBytes = storages
    .filter(({ savedBy }) => savedBy !== null)
    .reduce((sum, storage) => sum + storageBytes(storage, microBatch), 0);
  const largestScratch = Math.max(
    ...storages.map(({ workspace }) => (workspace === 0 ? 0 : workspaceBytes(workspace, microBatch))),
  );
  const onArena = pinned.bytes;
  const parts = {
    ...onArena,
    frozenWeights: onArena.frozenWeights + prepared.prefixWeightBytes,
    saved: savedBytes,
    workspace: arenaBytes - Object.values(onArena).reduce((sum, part) => sum + part, 0) - savedBytes,
    prefixPeak: prepared.prefixRunBytes,
    base: outside(graph, prepared, options, largestScratch),
    adaptation: options.adaptationBytes ?? 0,
  };
  const training = Object.values(parts).reduce((sum, part) => sum + part, 0);
  const { loading, exporting } = otherPhases(graph, prepared, options);
  const bytes = {
    ...parts,
    loading: Math.max(0, loading - training),
    export: Math.max(0, exporting - Math.max(training, loading)),
  };
  const totalBytes = Math.max(training, loading, exporting);
  return { layout, arenaBytes, savedBytes, totalBytes, bytes };
}

/**
 * The process itself, the image buffers, those of cached features, and copies in passing: of the largest trained tensor (onnxruntime's of its gradient, and
 * the one that a checkpoint writes), or onnxruntime's of the gradient of a convolution's patches, where
 * it cannot be kept from copying (engine/cpu/matrix-products.ts). Without onnxruntime the checkpoint's copy is all.
 */
function outside(
  graph: Graph,
  { largestTrainedBytes, scheme, cut, products }: PreparedScheme,
  { batch, baseBytes, cachesFeatures = false }: SizeOptions,
  largestScratchBytes = 0,
): number {
  const copies = products === 'simd' ? largestTrainedBytes : Math.max(2 * largestTrainedBytes, largestScratchBytes);
  const features = cachesFeatures ? featureRoomBytes(batch, 4 * elements(shapeOf(scheme.graph, cut.tensor))) : 0;
  return baseBytes + dataBytes(batch, shapeOf(graph, graph.input)[0] ?? 0) + features + copies;
}

/**
 * What the process holds before the first step and after the last one. The model is read, its parameters move into the arena and are
 * freed, and then the prefix is opened (engine/cpu/cpu-engine.ts).
 */
function otherPhases(
  graph: Graph,
  { pinned, prefixLoadingBytes }: PreparedScheme,
  { batch, baseBytes, fileBytes }: SizeOptions,
): { readonly loading: number; readonly exporting: number } {
  const { frozenWeights, trainableWeights } = pinned.bytes;
  const images = dataBytes(batch, shapeOf(graph, graph.input)[0] ?? 0);
  const onArena = frozenWeights + trainableWeights;
  const opening = baseBytes + images + onArena + Math.max(onArena, prefixLoadingBytes);
  return {
    loading: Math.max(readingBytes(baseBytes, fileBytes, onArena), opening),
    exporting: exportBytes(baseBytes, fileBytes, trainableWeights),
  };
}

/**
 * A bound that the exact size never lies below: whatever is alive at one time needs that much, however it is placed.
 * Linear in the number of steps, where the layout is quadratic.
 */
export function leastBytes(graph: Graph, prepared: Prepared, options: SizeOptions): number {
  const { storages, pinned } = prepared;
  const changes = new Map<number, number>();
  for (const storage of storages) {
    const bytes = storageBytes(storage, options.microBatch);
    changes.set(storage.from, (changes.get(storage.from) ?? 0) + bytes);
    changes.set(storage.to + 1, (changes.get(storage.to + 1) ?? 0) - bytes);
  }
  let [alive, peak] = [0, 0];
  for (const time of [...changes.keys()].sort((a, b) => a - b)) {
    alive += changes.get(time) ?? 0;
    peak = Math.max(peak, alive);
  }
  return leastWith(graph, prepared, options, align(pinned.end) + peak);
}

/** A bound that `leastBytes` never lies below, known before anything is differentiated: nothing but what is pinned. */
export function leastPinnedBytes(graph: Graph, prepared: PreparedScheme, options: SizeOptions): number {
  return leastWith(graph, prepared, options, align(prepared.pinned.end));
}

function leastWith(graph: Graph, prepared: PreparedScheme, options: SizeOptions, arenaBytes: number): number {
  const { prefixWeightBytes, prefixRunBytes } = prepared;
  const { loading, exporting } = otherPhases(graph, prepared, options);
  return Math.max(
    outside(graph, prepared, options) +
      arenaBytes +
      prefixWeightBytes +
      prefixRunBytes +
      (options.adaptationBytes ?? 0),
    loading,
    exporting,
  );
}
