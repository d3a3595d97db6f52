/** @file What an engine needs of a model; apart from planning, which needs none of it. */
import { dirname, resolve } from 'node:path';
import type { Model } from '../../models/onnx/open-model.ts';
import { extractPrefix } from '../../models/onnx/prefix.ts';
import { productModels } from '../../models/onnx/products.ts';
import type { EngineModel, Preprocessing } from '../engine/engine.ts';
import type { Graph } from '../graph/graph.ts';
import type { Plan } from '../plan/plan.ts';
import { planParameters } from './prepare.ts';

/** Besides the plan: values, sub-models and preprocessing. The prefix reads its weights from the model's file. */
export function engineModel({ file }: Model, graph: Graph, plan: Plan, preprocessing: Preprocessing): EngineModel {
  return {
    parameters: planParameters(graph, plan),
    prefix: extractPrefix(file, graph, plan.values.cut, 'beside'),
    prefixFolder: dirname(resolve(file.path)),
    products: productModels(),
    preprocessing,
  };
}
