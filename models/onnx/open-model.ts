/** @file An ONNX file, ready to plan and train. */
import { UsageError } from '../../runtime/errors.ts';
import type { Preprocessing } from '../../runtime/engine/engine.ts';
import { type Graph, shapeOf } from '../../runtime/graph/graph.ts';
import { METADATA } from './export.ts';
import { importGraph } from './import.ts';
import { type ModelFile, readModelFile } from './model-file.ts';

/** A model file with its graph and what the file says of its use. */
export interface Model {
  readonly file: ModelFile;
  readonly graph: Graph;
  /** Side of the images in pixels. */
  readonly imageSize: number;
  /** From the file's metadata, else pixels / 255. */
  readonly preprocessing: Preprocessing;
  /** Layers the file recommends to drop for a new head; empty: the last fully connected one. */
  readonly dropLayers: readonly string[];
  /** Class names, if the file holds them. */
  readonly classes: readonly string[] | null;
}

export interface OpenModelOptions {
  /** Side of the images in pixels; default: the file's own, or 224. */
  readonly imageSize?: number;
}

/**
 * Reads an ONNX file into a graph; nothing is run, unless shapes above an op only onnxruntime knows are missing: then
 * onnxruntime is asked for them once.
 * @throws ModelError, ShapeError
 */
export async function openModel(path: string, options: OpenModelOptions = {}): Promise<Model> {
  const file = await readModelFile(path);
  const graph = await importWithProbes(file, options.imageSize);
  const metadata = new Map(file.proto.metadataProps.map(({ key, value }) => [key, value]));
  const preprocessing = metadata.get(METADATA.preprocessing);
  const classes = metadata.get(METADATA.classes);
  return {
    file,
    graph,
    imageSize: shapeOf(graph, graph.input)[0] ?? 0,
    preprocessing: preprocessing ? JSON.parse(preprocessing) : preprocessings['0-1'],
    dropLayers: (metadata.get(METADATA.dropLayers) ?? '').split(',').filter((name) => name !== ''),
    classes: classes ? JSON.parse(classes) : null,
  };
}

/** Imports again with shapes from onnxruntime as long as rules miss some. */
async function importWithProbes(file: ModelFile, imageSize: number | undefined): Promise<Graph> {
  const probed = new Map<string, readonly number[]>();
  for (;;) {
    const { graph, unknown } = importGraph(file, imageSize, probed);
    const missing = unknown.filter((tensor) => !probed.has(tensor));
    if (missing.length === 0) return graph;
    const { probeShapes } = await import('./probe.ts');
    for (const [tensor, dims] of await probeShapes(file, missing, shapeOf(graph, graph.input))) probed.set(tensor, dims);
  }
}

const third = (value: number): readonly number[] => [value, value, value];
const imagenet = { mean: [0.485, 0.456, 0.406], deviation: [0.229, 0.224, 0.225] } as const;

/** Usual ways to bring pixels to a network, by name. */
export const preprocessings: Readonly<Record<string, Preprocessing>> = {
  '0-1': { scale: third(1 / 255), bias: third(0) },
  '-1-1': { scale: third(2 / 255), bias: third(-1) },
  '0-255': { scale: third(1), bias: third(0) },
  imagenet: {
    scale: imagenet.deviation.map((deviation) => 1 / (255 * deviation)),
    bias: imagenet.mean.map((mean, c) => -mean / (imagenet.deviation[c] ?? 1)),
  },
};

/** @throws UsageError if there is no preprocessing of that name */
export function preprocessingNamed(name: string): Preprocessing {
  const found = preprocessings[name];
  if (found) return found;
  throw new UsageError(`--normalize must be one of ${Object.keys(preprocessings).join(', ')}: ${JSON.stringify(name)}`);
}
