/** @file Plans and engines for tests: everything a training run has around them, with plain defaults. */
import type { ModelFile } from '../../models/onnx/model-file.ts';
import { extractPrefix } from '../../models/onnx/prefix.ts';
import { productModels } from '../../models/onnx/products.ts';
import { CpuEngine } from '../../runtime/engine/cpu/cpu-engine.ts';
import type { Engine, EngineInput, EngineModel, Preprocessing, Update } from '../../runtime/engine/engine.ts';
import { ReferenceEngine } from '../../runtime/engine/reference/reference-engine.ts';
import { elements, type Graph, shapeOf } from '../../runtime/graph/graph.ts';
import type { Plan } from '../../runtime/plan/plan.ts';
import { type PlanRequest, planTraining } from '../../runtime/plan/search.ts';

/** Pixels 0 to 255 become 0 to 1. */
export const unitScale: Preprocessing = { scale: [1 / 255, 1 / 255, 1 / 255], bias: [0, 0, 0] };

export function request(graph: Graph, changes: Partial<PlanRequest> = {}): PlanRequest {
  return {
    model: { name: graph.name, sha256: '0'.repeat(64), imageSize: shapeOf(graph, graph.input)[0] ?? 0, fileBytes: 0 },
    baseBytes: 120 * 2 ** 20,
    device: 'test',
    budgetBytes: 2 ** 31,
    optimizer: 'sgd',
    labelSmoothing: 0,
    batch: 2,
    threads: 1,
    scheme: 'mobiletl',
    blocks: 1,
    microBatch: changes.batch ?? 2,
    ...changes,
  };
}

export function plan(graph: Graph, changes: Partial<PlanRequest> = {}): Plan {
  return planTraining(graph, request(graph, changes));
}

export function parametersOf(graph: Graph): Map<string, Float32Array> {
  return new Map([...graph.parameters].map(([name, { data }]) => [name, data()]));
}

/** What an engine needs of a model; without a file it has no prefix, and takes features only unless everything trains. */
export function engineModel(plan: Plan, graph: Graph, file?: ModelFile): EngineModel {
  const prefix = file ? extractPrefix(file, graph, plan.values.cut) : null;
  return { parameters: parametersOf(graph), prefix, products: productModels(), preprocessing: unitScale };
}

export function openCpu(plan: Plan, graph: Graph, file?: ModelFile): Promise<CpuEngine> {
  return CpuEngine.create(plan, engineModel(plan, graph, file));
}

export function openReference(plan: Plan, graph: Graph): ReferenceEngine {
  return new ReferenceEngine(plan, parametersOf(graph), unitScale);
}

/** What the reference engine, which runs no prefix, takes for the same images. */
export async function atCut(engine: Engine, images: Uint8Array, count: number): Promise<EngineInput> {
  return { count, features: await engine.features(images, count) };
}

/** Values of one image at the cut. */
export function cutElements(plan: Plan, graph: Graph): number {
  return elements(shapeOf(graph, plan.values.cut));
}

/** One learning rate for all groups, as the reference engine has. */
export function sgd(rate: number, momentum = 0.9): Update {
  return { learningRate: { head: rate, weights: rate, norms: rate }, momentum, weightDecay: 0, step: 1 };
}

export function trainedNames(plan: Plan): string[] {
  return plan.blocks.flatMap(({ trains }) => trains);
}
