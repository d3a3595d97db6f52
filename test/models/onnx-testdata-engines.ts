/** @file Runs the nodes of a graph forward on both engines' ops, without plan or loss, from given values. */
import { kernelOf, type OpName } from '../../kernels/index.ts';
import { workspaceBytes } from '../../kernels/kernel.ts';
import { loadSimd } from '../../kernels/simd/simd.ts';
import { productModels } from '../../models/onnx/products.ts';
import { Arena } from '../../runtime/engine/cpu/arena.ts';
import { MatrixProducts } from '../../runtime/engine/cpu/matrix-products.ts';
import { bind } from '../../runtime/engine/cpu/operands.ts';
import { cpuOps } from '../../runtime/engine/cpu/ops.ts';
import { elements, type Graph, type Node, parameterOf, shapeOf } from '../../runtime/graph/graph.ts';
import { nodeShapes } from '../../runtime/graph/node-shapes.ts';
import { align } from '../../runtime/plan/layout.ts';
import { PAGE_BYTES, type Plan, type PlannedBuffer, type PlannedStep } from '../../runtime/plan/plan.ts';

export type Given = ReadonlyMap<string, ArrayLike<number>>;

const LOSS = 'loss';
const LABELS = 'labels';
const PROBABILITIES = 'probabilities';

/** Node, input and saved value that make a softmax out of logits: what training does with a final Softmax. */
function withLoss(graph: Graph): Graph {
  const logits = [elements(shapeOf(graph, graph.output))];
  const shapes = new Map([...graph.shapes, [graph.output, logits], [LABELS, [1]], [LOSS, [1]]]);
  const attributes = { labelSmoothing: 0 };
  const inputs = [graph.output, LABELS];
  const node: Node = { op: 'SoftmaxCrossEntropy', name: LOSS, inputs, parameters: {}, output: LOSS, attributes };
  return { ...graph, shapes, nodes: [...graph.nodes, node] };
}

/** What is run: nodes with kernels, and where the result is found. */
function prepared(source: Graph, softmax: boolean, given: Given, batch: number) {
  const graph = softmax ? withLoss(source) : source;
  const values = softmax ? new Map([...given, [LABELS, new Float32Array(batch)]]) : given;
  const saved = softmax ? { [PROBABILITIES]: batch * elements(shapeOf(source, source.output)) } : {};
  return { graph, nodes: graph.nodes.filter(({ op }) => op !== 'Opaque'), values, saved };
}

/** The output by the kernels' float64 loops; of softmax probabilities if these are asked for. */
export function runReference(source: Graph, softmax: boolean, given: Given, batch: number): Float64Array {
  const { graph, nodes, values, saved } = prepared(source, softmax, given, batch);
  const known = new Map([...values].map(([name, array]) => [name, Float64Array.from(array)]));
  for (const node of nodes) {
    const shapes = nodeShapes(graph, node);
    const output = new Float64Array(batch * elements(shapes.output)).fill(Number.NaN);
    const parameters = Object.entries(node.parameters).map(([role, name]) => [
      role,
      Float64Array.from(parameterOf(graph, name).data()),
    ]);
    const own = node.name === LOSS ? new Float64Array(saved[PROBABILITIES] ?? 0) : undefined;
    kernelOf(node)?.forward({
      batch,
      mode: 'inference',
      attributes: node.attributes,
      shapes,
      inputs: node.inputs.map((name) => known.get(name) ?? new Float64Array()),
      parameters: Object.fromEntries(parameters),
      output,
      saved: own ? { [PROBABILITIES]: own } : {},
    });
    known.set(own ? PROBABILITIES : node.output, own ?? output);
  }
  return known.get(softmax ? PROBABILITIES : graph.output) ?? new Float64Array();
}

/** The same by the CPU engine's ops, every value in memory of its own. */
export async function runCpu(source: Graph, softmax: boolean, given: Given, batch: number): Promise<Float32Array> {
  const { graph, nodes, values, saved } = prepared(source, softmax, given, batch);
  const floats = new Map<string, number>(Object.entries(saved));
  for (const [name, { length }] of values) floats.set(name, length);
  const steps = nodes.map((node): PlannedStep => {
    const shapes = nodeShapes(graph, node);
    const own = node.name === LOSS ? { [PROBABILITIES]: PROBABILITIES } : {};
    const none = { inputs: node.inputs.map(() => false), parameters: new Set<string>() };
    const workspace = workspaceBytes(kernelOf(node)?.workspace?.(shapes, node.attributes, 'forward', none) ?? 0, batch);
    floats.set(node.output, batch * elements(shapes.output));
    for (const name of Object.values(node.parameters)) floats.set(name, parameterOf(graph, name).data().length);
    if (workspace > 0) floats.set(`${node.name} workspace`, Math.ceil(workspace / 4));
    return {
      ...{ op: node.op, node: node.name, attributes: node.attributes, shapes, parameters: node.parameters },
      ...{ pass: 'forward', inputs: node.inputs, output: node.output, saved: own, savedElements: saved },
      ...{ dOutput: null, dInputs: [], dParameters: {} },
      workspace: workspace > 0 ? `${node.name} workspace` : null,
    };
  });
  let end = 64;
  const buffers = [...floats].map(([name, count]): PlannedBuffer => {
    const offset = align(end);
    end = offset + 4 * count;
    return { name, offset, bytes: 4 * count, bytesPerImage: 0, category: 'workspace', alive: null, storage: name };
  });
  const plan: Pick<Plan, 'buffers' | 'arenaBytes'> = { buffers, arenaBytes: Math.ceil(end / PAGE_BYTES) * PAGE_BYTES };
  const arena = new Arena(plan as Plan);
  const products = await MatrixProducts.create(arena.memory, productModels(), 1);
  const machine = { arena, simd: await loadSimd(arena.memory), products };
  arena.floats(0, plan.arenaBytes / 4).fill(Number.NaN);
  for (const [name, array] of values) arena.view(name, 1).set(array);
  for (const [name, { data }] of graph.parameters) arena.view(name, 1).set(data());
  for (const step of steps) await cpuOps[step.op as OpName].forward(bind(step, batch, 'inference', arena), machine);
  const output = arena.view(softmax ? PROBABILITIES : graph.output, 1).slice();
  await products.release();
  return output;
}
