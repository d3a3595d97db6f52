import test, { type ExecutionContext } from 'ava';
import type { Engine, Update } from '../../runtime/engine/engine.ts';
import { ExecutionError } from '../../runtime/errors.ts';
import type { Graph } from '../../runtime/graph/graph.ts';
import { gradientBuffer, type OptimizerName, type Plan, stateBuffer } from '../../runtime/plan/plan.ts';
import { Random } from '../../runtime/train/random.ts';
import { assertClose } from '../support/compare.ts';
import { cyclicLabels, normals } from '../support/draws.ts';
import { GraphBuilder, relu6 } from '../support/graphs.ts';
import { cutElements, plan as makePlan, openCpu, openReference, sgd, trainedNames } from '../support/training.ts';

const seed = 17;
const batch = 6;
const classes = 4;

/** Two linear bottlenecks, one with a skip; the first stays frozen where one block trains. */
function net(): Graph {
  const b = new GraphBuilder([8, 8, 3], seed);
  const bottleneck = (name: string, x: string): string => {
    const wide = b.norm(`${name}/n1`, b.conv(`${name}/expand`, x, 16), relu6);
    const depth = b.norm(`${name}/n2`, b.depthwise(`${name}/depth`, wide), relu6);
    return b.norm(`${name}/n3`, b.conv(`${name}/project`, depth, 8));
  };
  const x = bottleneck('b1', 'image');
  b.head(b.add('b2/add', x, bottleneck('b2', x)), classes);
  return b.build();
}

function features(plan: Plan, graph: Graph): Float32Array {
  return Float32Array.from(normals(new Random(seed), [plan.batch * cutElements(plan, graph)]));
}

const labels = cyclicLabels(batch, classes);

test('ten steps of SGD: the losses of CPU and reference stay together and fall', async (t) => {
  const graph = net();
  const plan = makePlan(graph, { blocks: 2, batch, microBatch: 4, labelSmoothing: 0.1 });
  const input = { count: batch, features: features(plan, graph) };
  const engines: Engine[] = [await openCpu(plan, graph), openReference(plan, graph)];
  const losses = engines.map((): number[] => []);
  for (let step = 1; step <= 10; step++) {
    for (const [i, engine] of engines.entries()) {
      losses[i]?.push((await engine.step(input, labels, { ...sgd(0.05), step })).loss);
    }
  }
  const [actual = [], expected = []] = losses;
  // Looser than one step: ten steps multiply rounding errors, and a kink may be crossed on one side only.
  assertClose(t, actual, expected, { rtol: 1e-3, atol: 1e-5 }, `losses, seed ${seed}`);
  t.true((actual.at(-1) ?? Number.NaN) < 0.8 * (actual[0] ?? 0), `losses ${actual}`);
  t.log(`seed ${seed}: ${actual.map((loss) => loss.toFixed(4)).join(' ')}`);
  await engines[0]?.[Symbol.asyncDispose]();
});

/** Values of all pinned buffers: parameters, gradients and optimizer states. */
async function snapshot(engine: Engine, categories: readonly string[]): Promise<Map<string, Float32Array>> {
  const buffers = engine.plan.buffers.filter(({ category }) => categories.includes(category));
  return new Map(await Promise.all(buffers.map(async ({ name }) => [name, await engine.read(name)] as const)));
}

test('a loss that is not finite stops the step before anything is learnt', async (t) => {
  const graph = net();
  const plan = makePlan(graph, { blocks: 1, batch, microBatch: 2 });
  const engine = await openCpu(plan, graph);
  const values = features(plan, graph);
  await engine.step({ count: batch, features: values }, labels, sgd(0.01));
  const learnt = ['frozenWeights', 'trainableWeights', 'optimizer'];
  const before = await snapshot(engine, learnt);
  // The last image only, so that the first two parts of the batch go well.
  values[values.length - 1] = Number.POSITIVE_INFINITY;
  const error = await t.throwsAsync(engine.step({ count: batch, features: values }, labels, sgd(0.01)), {
    instanceOf: ExecutionError,
    message:
      /^the loss is NaN: training stops before this step changes anything\nHint: start a run with a lower learning rate/,
  });
  t.is(error?.code, 'EXECUTION');
  t.deepEqual(await snapshot(engine, learnt), before);
  values[values.length - 1] = 0;
  t.true(
    Number.isFinite((await engine.step({ count: batch, features: values }, labels, sgd(0.01))).loss),
    'and goes on',
  );
  await engine[Symbol.asyncDispose]();
});

test('a learning rate that is far too high ends in that error', async (t) => {
  const graph = net();
  const plan = makePlan(graph, { blocks: 2, batch });
  const engine = await openCpu(plan, graph);
  const input = { count: batch, features: features(plan, graph) };
  const train = async () => {
    for (let step = 1; step <= 20; step++) await engine.step(input, labels, { ...sgd(1e12), step });
  };
  await t.throwsAsync(train, { instanceOf: ExecutionError, message: /^the loss is (NaN|Infinity)/ });
  await engine[Symbol.asyncDispose]();
});

/** Two updates by the book, in float64 (PyTorch 2 documentation of SGD, Adam and AdamW; no Nesterov, no AMSGrad). */
function expectedUpdate(
  optimizer: OptimizerName,
  start: Float32Array,
  gradients: readonly Float32Array[],
  { momentum, weightDecay }: Update,
  rate: number,
): number[] {
  const [beta1, beta2, epsilon] = [0.9, 0.999, 1e-8];
  return Array.from(start, (w0, i) => {
    let [w, first, second] = [w0, 0, 0];
    gradients.forEach((gradient, index) => {
      let g = gradient[i] ?? Number.NaN;
      if (optimizer === 'adamw') w -= rate * weightDecay * w;
      else g += weightDecay * w;
      if (optimizer === 'sgd') {
        first = momentum * first + g;
        w -= rate * first;
        return;
      }
      first = beta1 * first + (1 - beta1) * g;
      second = beta2 * second + (1 - beta2) * g * g;
      const corrected = Math.sqrt(second / (1 - beta2 ** (index + 1))) + epsilon;
      w -= (rate * first) / (1 - beta1 ** (index + 1)) / corrected;
    });
    return w;
  });
}

const optimizerCheck = test.macro(async (t: ExecutionContext, optimizer: OptimizerName) => {
  const graph = net();
  const plan = makePlan(graph, { blocks: 1, batch, optimizer });
  const engine = await openCpu(plan, graph);
  const input = { count: batch, features: features(plan, graph) };
  const rates = { head: 0.03, weights: 0.01, norms: 0.002 };
  const update: Update = { learningRate: rates, momentum: 0.8, weightDecay: 0.1, step: 1 };
  const start = await snapshot(engine, ['trainableWeights', 'frozenWeights']);
  const gradients: ReadonlyMap<string, Float32Array>[] = [];
  for (const step of [1, 2]) {
    // A step computes them again, from a clean slate, and leaves none.
    await engine.gradients(input, labels);
    gradients.push(await snapshot(engine, ['gradients']));
    await engine.step(input, labels, { ...update, step });
  }
  const trained = new Set(trainedNames(plan));
  const groupOf = new Map(
    plan.spans.flatMap(({ group, parameters, bytes }) =>
      plan.buffers
        .filter(({ offset, name }) => trained.has(name) && offset >= parameters && offset < parameters + bytes)
        .map(({ name }) => [name, group] as const),
    ),
  );
  t.deepEqual([...groupOf.keys()].toSorted(), [...trained].toSorted());
  for (const [name, before] of start) {
    const after = await engine.read(name);
    const group = groupOf.get(name);
    if (!group) {
      t.deepEqual(after, before, `"${name}" is frozen`);
      continue;
    }
    // Norms never decay.
    const own = group === 'norms' ? { ...update, weightDecay: 0 } : update;
    const history = gradients.map((each) => each.get(gradientBuffer(name)) ?? new Float32Array());
    const expected = expectedUpdate(optimizer, before, history, own, rates[group]);
    assertClose(t, after, expected, { rtol: 1e-5, atol: 1e-6 }, `${optimizer} "${name}", seed ${seed}`);
  }
  t.is(
    plan.buffers.filter(({ category }) => category === 'optimizer').length,
    trained.size * (optimizer === 'sgd' ? 1 : 2),
  );
  await t.notThrowsAsync(engine.read(stateBuffer('fc/weight', 0)));
  await engine[Symbol.asyncDispose]();
});

for (const optimizer of ['sgd', 'adam', 'adamw'] as const) {
  test(`${optimizer}: two steps by the book, a rate for each group, no decay of norms`, optimizerCheck, optimizer);
}

test('a batch smaller than planned gives the mean over its own images', async (t) => {
  const graph = net();
  const plan = makePlan(graph, { blocks: 1, batch, microBatch: 4 });
  const cpu = await openCpu(plan, graph);
  const reference = openReference(plan, graph);
  const input = { count: 5, features: features(plan, graph).subarray(0, 5 * cutElements(plan, graph)) };
  const some = labels.subarray(0, 5);
  const [actual, expected] = [await cpu.gradients(input, some), await reference.gradients(input, some)];
  assertClose(
    t,
    [actual.loss, actual.correct],
    [expected.loss, expected.correct],
    { rtol: 1e-5, atol: 1e-6 },
    `seed ${seed}`,
  );
  for (const name of trainedNames(plan)) {
    const exact = reference.exact(gradientBuffer(name));
    assertClose(t, await cpu.read(gradientBuffer(name)), exact, { rtol: 1e-3, atol: 1e-5 }, `"${name}", seed ${seed}`);
  }
  await cpu[Symbol.asyncDispose]();
});

test('gradients start anew at every call', async (t) => {
  const graph = net();
  const plan = makePlan(graph, { blocks: 1, batch, microBatch: 2 });
  const engine = await openCpu(plan, graph);
  const input = { count: batch, features: features(plan, graph) };
  await engine.gradients(input, labels);
  const first = await snapshot(engine, ['gradients']);
  await engine.gradients(input, labels);
  t.deepEqual(await snapshot(engine, ['gradients']), first);
  await engine[Symbol.asyncDispose]();
});
