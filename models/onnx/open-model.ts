/** @file An ONNX file, ready to plan and train. */
import type { Preprocessing } from '../../runtime/engine/engine.ts';
import { type Graph, shapeOf } from '../../runtime/graph/graph.ts';
import { importGraph } from './import.ts';
import { METADATA } from './metadata.ts';
import { type ModelFile, readModelFile } from './model-file.ts';
import { preprocessings } from './preprocessing.ts';

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
  /** Whether onnxruntime may be asked for what the file does not tell; without, the graph lacks such shapes. Default true. */
  readonly probes?: boolean;
}

/**
 * Reads an ONNX file into a graph; nothing is run, unless shapes above an op only onnxruntime knows are missing: then
 * onnxruntime is asked for them once.
 * @throws ModelError, ShapeError
 */
export async function openModel(path: string, options: OpenModelOptions = {}): Promise<Model> {
  const file = await readModelFile(path);
  const graph = await importWithProbes(file, options.imageSize, options.probes);
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
export async function importWithProbes(file: ModelFile, imageSize: number | undefined, probes = true): Promise<Graph> {
  const probed = new Map<string, readonly number[]>();
  for (;;) {
    const { graph, unknown } = importGraph(file, imageSize, probed);
    const missing = unknown.filter((tensor) => !probed.has(tensor));
    if (missing.length === 0 || !probes) return graph;
    const { probeShapes } = await import('./probe.ts');
    for (const [tensor, dims] of await probeShapes(file, missing, shapeOf(graph, graph.input)))
      probed.set(tensor, dims);
  }
}
