/** Local losses: their gradients are those of the loss with the part's input detached, and reach nothing else. */
import test from 'ava';
import { kernelOf } from '../../kernels/index.ts';
import { sliceRuns } from '../../runtime/autodiff/slices.ts';
import type { ReferenceEngine } from '../../runtime/engine/reference/reference-engine.ts';
import { elements, type Graph } from '../../runtime/graph/graph.ts';
import { nodeShapes } from '../../runtime/graph/node-shapes.ts';
import { buildPlan } from '../../runtime/plan/build.ts';
import { gradientBuffer, type Plan } from '../../runtime/plan/plan.ts';
import { META, metaConvolutions, metaTensors, withMetaNetworks } from '../../runtime/scheme/meta-networks.ts';
import { Random } from '../../runtime/train/random.ts';
import { assertClose } from '../support/compare.ts';
import { normals } from '../support/draws.ts';
import { GraphBuilder, relu } from '../support/graphs.ts';
import { cutElements, openCpu, openReference } from '../support/training.ts';

const seed = 5;
const batch = 4;

function graphOf(parts: number): Graph {
  const b = new GraphBuilder([8, 8, 3], seed);
  let x = b.norm('stem_norm', b.conv('stem', 'image', 4, { kernel: 3 }), relu);
  for (const index of [1, 2]) {
    const inner = b.norm(`b${index}.norm`, b.conv(`b${index}.conv1`, x, 4, { kernel: 3 }), relu);
    x = b.add(`b${index}.add`, b.conv(`b${index}.conv2`, inner, 4, { kernel: 3 }), x);
  }
  b.head(x, 3);
  return withMetaNetworks(b.build(), { parts, seed });
}

function planOf(graph: Graph, again = false): Plan {
  return buildPlan(graph, {
    model: { name: 'local', sha256: '', imageSize: 8, fileBytes: 0 },
    device: 'test',
    budgetBytes: 1e9,
    baseBytes: 0,
    rates: null,
    scheme: { name: 'blocks', blocks: 0, head: false, train: metaTensors },
    savings: { activations: 'float', tensors: 'float', recompute: false },
    optimizer: 'sgd',
    labelSmoothing: 0,
    batch,
    microBatch: batch,
    threads: 1,
    objective: 'logits',
    ...(again && { computedAgain: metaConvolutions(graph) }),
  });
}

/** Gradients of all meta parameters. */
async function gradientsOf(engine: ReferenceEngine, names: readonly string[]): Promise<Map<string, Float64Array>> {
  return new Map(names.map((name) => [name, engine.exact(gradientBuffer(name)).slice()]));
}

/** Sum over the images of a local loss, by the kernels' own float64 loops with the engine's parameters. */
function localLoss(engine: ReferenceEngine, graph: Graph, features: Float32Array, loss: string): number {
  const { cut } = engine.plan.values;
  const values = new Map([[cut, Float64Array.from(features)]]);
  for (const node of graph.nodes) {
    const kernel = kernelOf(node);
    if (!kernel || node.inputs.some((input) => !values.has(input))) continue;
    const shapes = nodeShapes(graph, node);
    const output = new Float64Array(batch * elements(shapes.output));
    const parameters = Object.entries(node.parameters).map(([role, name]) => [role, engine.exact(name)] as const);
    kernel.forward({
      ...{ batch, mode: 'again', attributes: node.attributes, shapes, output, saved: {} },
      inputs: node.inputs.map((input) => values.get(input) ?? new Float64Array()),
      parameters: Object.fromEntries(parameters),
    });
    values.set(node.output, output);
  }
  return values.get(loss)?.reduce((sum, value) => sum + value, 0) ?? Number.NaN;
}

const trainedOf = (plan: Plan): string[] =>
  plan.buffers.flatMap(({ name, category }) => (category === 'trainableWeights' ? [name] : []));

test('gradients of both losses equal differences in float64, the local one with the input detached', async (t) => {
  const graph = graphOf(2);
  const plan = planOf(graph);
  const names = trainedOf(plan);
  const features = Float32Array.from(normals(new Random(seed, 1), [batch, cutElements(plan, graph)]));
  const dLogits = Float32Array.from(normals(new Random(seed, 2), [batch, 3]));
  const weight = 0.3 / batch;
  const engine = openReference(plan, graph);
  await engine.forward({ count: batch, features }, 'training');
  await engine.backward(dLogits, weight);
  const both = await gradientsOf(engine, names);
  const alone = openReference(plan, graph);
  await alone.forward({ count: batch, features }, 'training');
  await alone.backward(dLogits);
  const entropyOnly = await gradientsOf(alone, names);
  // Part 1's input does not depend on anything that trains, so its local loss is a function of its parameters alone, and
  // part 2's with the input held fixed is what is left of the whole when part 1's parameters do not change.
  for (const name of names) {
    const local = both.get(name)?.map((value, i) => value - (entropyOnly.get(name)?.[i] ?? Number.NaN));
    const part = Number(name.split('.')[1]);
    const loss = plan.values.local[part - 1]?.loss ?? '';
    const values = engine.exact(name);
    const numeric = values.map((value, i) => {
      const at = (moved: number): number => {
        values[i] = moved;
        const sum = localLoss(engine, graph, features, loss);
        values[i] = value;
        return sum;
      };
      return (weight * (at(value + 1e-6) - at(value - 1e-6))) / 2e-6;
    });
    assertClose(t, local ?? [], numeric, { rtol: 1e-5, atol: 1e-8 }, `d "${name}", seed ${seed}`);
  }
});

for (const again of [false, true]) {
  test(`CPU equals reference with both losses, convolutions ${again ? 'computed again' : 'kept'}`, async (t) => {
    const graph = graphOf(2);
    const plan = planOf(graph, again);
    t.is(
      plan.steps.some(({ pass }) => pass === 'recompute'),
      again,
    );
    const features = Float32Array.from(normals(new Random(seed, 1), [batch, cutElements(plan, graph)]));
    const dLogits = Float32Array.from(normals(new Random(seed, 2), [batch, 3]));
    await using cpu = await openCpu(plan, graph);
    const reference = openReference(plan, graph);
    const logits = await cpu.forward({ count: batch, features }, 'training');
    const expected = await reference.forward({ count: batch, features }, 'training');
    assertClose(t, logits, expected, { rtol: 1e-4, atol: 1e-5 }, `logits, seed ${seed}`);
    await cpu.backward(dLogits, 0.2);
    await reference.backward(dLogits, 0.2);
    for (const name of trainedOf(plan)) {
      const gradient = reference.exact(gradientBuffer(name));
      t.true(gradient.some((value) => value !== 0) || name.endsWith('.shift'), name);
      assertClose(
        t,
        await cpu.read(gradientBuffer(name)),
        gradient,
        { rtol: 1e-3, atol: 1e-4 },
        `d "${name}", seed ${seed}`,
      );
    }
    t.is((await cpu.statistics()).highWaterBytes, plan.peakBytes);
  });
}

test('a part is back-propagated for its own loss before the gradient from above passes through it', (t) => {
  const plan = planOf(graphOf(2));
  const order = plan.steps.flatMap(({ pass, node }) => (pass === 'backward' && node.startsWith(META) ? [node] : []));
  const meta = (k: number, ...names: readonly string[]): string[] => names.map((name) => `${META}.${k}.${name}`);
  const branch = ['norm', 'relu', 'conv_norm', 'conv'] as const;
  t.deepEqual(
    order,
    [2, 1].flatMap((k) => [...meta(k, 'distance', ...branch), ...meta(k, ...branch)]),
  );
  const [local] = plan.steps.filter(({ pass, node }) => pass === 'backward' && node === `${META}.2.conv`);
  t.deepEqual(local?.dInputs, [null], 'the local loss asks nothing of what lies below');
  t.deepEqual(
    plan.values.local.map(({ loss, seed: value }) => [loss, value]),
    [1, 2].map((k) => [`${META}.${k}.distance output`, `d ${META}.${k}.distance output`]),
  );
});

test('the frozen part below the first meta network runs in slices and takes the memory of one image', async (t) => {
  const graph = graphOf(1);
  const plan = planOf(graph);
  const [run] = sliceRuns(plan.steps);
  t.deepEqual(
    plan.steps.slice(run?.[0], (run?.[1] ?? 0) + 1).map(({ node }) => node),
    ['b1.conv1', 'b1.norm', 'b1.conv2', 'b1.add', 'b2.conv1', 'b2.norm', 'b2.conv2', 'b2.add'],
  );
  const of = (name: string): number => plan.buffers.find((buffer) => buffer.name === name)?.bytes ?? Number.NaN;
  t.is(of('b1.conv1'), 4 * 8 * 8 * 4);
  t.is(of('b2.add'), batch * 4 * 8 * 8 * 4);
});
